package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** "?n=N": N bytes of the pattern; with "len=1" under a Content-Length, else without one. */
public class Bytes extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Query query = new Query(request);
        long n = query.number("n", 0);
        response.setContentType("application/octet-stream");
        if (query.number("len", 0) == 1) {
            response.setContentLengthLong(n);
        } else {
            // A short body would get its Content-Length from the container: send the head first.
            response.flushBuffer();
        }
        Pattern.write(response.getOutputStream(), n);
    }
}
