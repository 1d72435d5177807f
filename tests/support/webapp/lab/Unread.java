package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** Answers without reading the request body: "unread", or with "?n=N" N bytes of the pattern. */
public class Unread extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        long n = new Query(request).number("n", -1);
        if (n < 0) {
            response.setContentType("text/plain");
            response.getOutputStream().print("unread\n");
        } else {
            response.setContentType("application/octet-stream");
            Pattern.write(response.getOutputStream(), n);
        }
    }
}
