package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** Redirects to the greeting; with "?abs" by the absolute URL this container believes in. */
public class Redirect extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String path = request.getContextPath() + "/hello";
        if (new Query(request).has("abs")) {
            String url = request.getRequestURL().toString();
            int end = url.indexOf('/', url.indexOf("://") + 3);
            path = url.substring(0, end) + path;
        }
        response.sendRedirect(path);
    }
}
