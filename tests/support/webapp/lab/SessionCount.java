package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;

/** Counts the hits of a session; "node" is the route after the dot of its id, or null. */
public class SessionCount extends HttpServlet {
    private static final long serialVersionUID = 1L;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession();
        Integer before = (Integer) session.getAttribute("count");
        int count = before == null ? 1 : before + 1;
        session.setAttribute("count", count);
        int dot = session.getId().indexOf('.');
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("id", session.getId());
        facts.put("count", count);
        facts.put("node", dot < 0 ? null : session.getId().substring(dot + 1));
        response.setContentType("application/json");
        response.getOutputStream().print(Json.of(facts));
    }
}
