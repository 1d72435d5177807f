package lab;

import jakarta.servlet.http.HttpServletRequest;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The query string, parsed by hand: getParameter() would also consume the body of a posted form,
 * and the servlets here must decide themselves whether the body is read.
 */
final class Query {
    private final List<String[]> pairs = new ArrayList<>();

    Query(HttpServletRequest request) {
        String query = request.getQueryString();
        if (query == null || query.isEmpty()) {
            return;
        }
        for (String pair : query.split("&")) {
            int equals = pair.indexOf('=');
            String name = equals < 0 ? pair : pair.substring(0, equals);
            String value = equals < 0 ? "" : pair.substring(equals + 1);
            pairs.add(new String[] {name, value});
        }
    }

    List<String> all(String name) {
        List<String> values = new ArrayList<>();
        for (String[] pair : pairs) {
            if (pair[0].equals(name)) {
                values.add(URLDecoder.decode(pair[1], StandardCharsets.UTF_8));
            }
        }
        return values;
    }

    boolean has(String name) {
        return !all(name).isEmpty();
    }

    long number(String name, long otherwise) {
        List<String> values = all(name);
        return values.isEmpty() ? otherwise : Long.parseLong(values.get(0));
    }
}
