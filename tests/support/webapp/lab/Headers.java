package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** "?n=N&size=S": N response headers "X-H-i" of S characters each. */
public class Headers extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Query query = new Query(request);
        long n = query.number("n", 1);
        String value = "v".repeat((int) query.number("size", 1));
        for (long i = 0; i < n; i++) {
            response.addHeader("X-H-" + i, value);
        }
        response.setContentType("text/plain");
        response.getOutputStream().print("headers\n");
    }
}
