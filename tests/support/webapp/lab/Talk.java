package lab;

import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.websocket.DeploymentException;
import jakarta.websocket.OnMessage;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpoint;

/** A WebSocket that says back what it is told. */
@ServerEndpoint("/talk")
public class Talk {
    @OnMessage
    public String said(String text) {
        return "you said " + text;
    }

    /** Nothing is scanned for annotations, so it is added by hand. */
    public static class Installer implements ServletContextListener {
        @Override
        public void contextInitialized(ServletContextEvent event) {
            Object container = event.getServletContext().getAttribute(ServerContainer.class.getName());
            try {
                ((ServerContainer) container).addEndpoint(Talk.class);
            } catch (DeploymentException error) {
                throw new IllegalStateException(error);
            }
        }
    }
}
