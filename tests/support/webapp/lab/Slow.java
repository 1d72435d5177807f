package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** "?ms=M&parts=K": K lines "part i", each flushed and followed by a pause of M milliseconds. */
public class Slow extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Query query = new Query(request);
        long parts = query.number("parts", 3);
        response.setContentType("text/plain");
        for (long i = 0; i < parts; i++) {
            response.getOutputStream().print("part " + i + "\n");
            response.flushBuffer();
            Sleep.pause(query.number("ms", 100));
        }
    }
}
