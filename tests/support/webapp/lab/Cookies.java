package lab;

import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** Three Set-Cookie headers: a repeated field that must not be joined. */
public class Cookies extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        for (int i = 1; i <= 3; i++) {
            response.addCookie(new Cookie("c" + i, "value" + i));
        }
        response.setContentType("text/plain");
        response.getOutputStream().print("cookies\n");
    }
}
