package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** "/status/NNN": that status; with "?msg" through sendError(), so with the container's page. */
public class Status extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        int status = Integer.parseInt(request.getPathInfo().substring(1));
        if (new Query(request).has("msg")) {
            response.sendError(status, "message for " + status);
            return;
        }
        response.setStatus(status);
        if (status != 204 && status != 304) {
            response.setContentType("text/plain");
            response.getOutputStream().print("status " + status + "\n");
        }
    }
}
