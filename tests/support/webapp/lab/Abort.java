package lab;

import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** "?n=N": N bytes of the pattern, flushed, then a failure; "len=M" promises a Content-Length. */
public class Abort extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException, ServletException {
        Query query = new Query(request);
        long promised = query.number("len", -1);
        if (promised >= 0) {
            response.setContentLengthLong(promised);
        }
        response.setContentType("application/octet-stream");
        Pattern.write(response.getOutputStream(), query.number("n", 0));
        response.flushBuffer();
        throw new ServletException("abort on purpose");
    }
}
