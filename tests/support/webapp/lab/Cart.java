package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Counts the requests of a session, whatever their method and body, and names the node at work.
 *
 * "/hold" waits before it counts, while this node holds requests back. "/node" has no session:
 * with "?hold" the node begins to, and the answer tells how many requests wait there and how
 * many POSTs the node has begun to work on.
 */
public class Cart extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final long LIMIT_MS = 60_000;

    private final AtomicInteger held = new AtomicInteger();
    private final AtomicInteger posts = new AtomicInteger();
    private volatile boolean holding;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String path = request.getPathInfo() == null ? "/" : request.getPathInfo();
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("node", getServletContext().getInitParameter("node"));
        if (path.equals("/node")) {
            holding |= new Query(request).has("hold");
            facts.put("held", held.get());
            facts.put("posts", posts.get());
        } else {
            if (request.getMethod().equals("POST")) {
                posts.incrementAndGet();
            }
            facts.put("body", request.getInputStream().readAllBytes().length);
            if (path.equals("/hold")) {
                hold();
            }
            count(request.getSession(), facts);
        }
        response.setContentType("application/json");
        response.getOutputStream().print(Json.of(facts));
    }

    private void hold() throws IOException {
        held.incrementAndGet();
        try {
            for (long ms = 0; holding && ms < LIMIT_MS; ms += 10) {
                Sleep.pause(10);
            }
        } finally {
            held.decrementAndGet();
        }
    }

    private static void count(HttpSession session, Map<String, Object> facts) {
        Integer before = (Integer) session.getAttribute("count");
        int count = before == null ? 1 : before + 1;
        session.setAttribute("count", count);
        facts.put("id", session.getId());
        facts.put("count", count);
    }
}
