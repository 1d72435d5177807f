package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Everything the container knows about the request, as JSON; the body is read to its end.
 *
 * <p>The container does not list attributes that came with the AJP message, it only answers for
 * them by name: "attr=NAME" in the query, repeatable, asks for more.
 */
public class Echo extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final String CERTIFICATES = "jakarta.servlet.request.X509Certificate";

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Map<String, Object> facts = new LinkedHashMap<>();
        try {
            line(request, facts);
            ends(request, facts);
            facts.put("headers", headers(request));
            facts.put("attributes", attributes(request));
            facts.put("certificates", certificates(request));
            body(request.getInputStream(), facts);
        } catch (GeneralSecurityException e) {
            throw new IOException(e);
        }
        response.setContentType("application/json");
        response.getOutputStream().print(Json.of(facts));
    }

    private static void line(HttpServletRequest request, Map<String, Object> facts) {
        facts.put("method", request.getMethod());
        facts.put("uri", request.getRequestURI());
        facts.put("query", request.getQueryString());
        facts.put("servletPath", request.getServletPath());
        facts.put("pathInfo", request.getPathInfo());
        facts.put("protocol", request.getProtocol());
        facts.put("scheme", request.getScheme());
        facts.put("secure", request.isSecure());
        facts.put("authType", request.getAuthType());
        facts.put("remoteUser", request.getRemoteUser());
        facts.put("contentLength", request.getContentLengthLong());
        facts.put("contentType", request.getContentType());
    }

    private static void ends(HttpServletRequest request, Map<String, Object> facts) {
        facts.put("remoteAddr", request.getRemoteAddr());
        facts.put("remoteHost", request.getRemoteHost());
        facts.put("remotePort", request.getRemotePort());
        facts.put("serverName", request.getServerName());
        facts.put("serverPort", request.getServerPort());
        facts.put("localAddr", request.getLocalAddr());
        facts.put("localName", request.getLocalName());
        facts.put("localPort", request.getLocalPort());
    }

    /** One entry per field line; lines of one name stand together, where the first of them stood. */
    private static List<Object> headers(HttpServletRequest request) {
        List<Object> lines = new ArrayList<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            for (String value : Collections.list(request.getHeaders(name))) {
                lines.add(List.of(name, value));
            }
        }
        return lines;
    }

    private static Map<String, Object> attributes(HttpServletRequest request) {
        Map<String, Object> found = new LinkedHashMap<>();
        put(found, "cipher_suite", request.getAttribute("jakarta.servlet.request.cipher_suite"));
        put(found, "key_size", request.getAttribute("jakarta.servlet.request.key_size"));
        put(found, "ssl_session_id", request.getAttribute("jakarta.servlet.request.ssl_session_id"));
        put(found, "secure_protocol", request.getAttribute("org.apache.tomcat.util.net.secure_protocol_version"));
        for (String name : Collections.list(request.getAttributeNames())) {
            if (!name.startsWith("org.apache") && !name.startsWith("jakarta")) {
                put(found, name, request.getAttribute(name));
            }
        }
        for (String name : new Query(request).all("attr")) {
            put(found, name, request.getAttribute(name));
        }
        return found;
    }

    private static void put(Map<String, Object> found, String name, Object value) {
        if (value != null) {
            found.put(name, value.toString());
        }
    }

    private static List<Object> certificates(HttpServletRequest request) throws GeneralSecurityException {
        List<Object> chain = new ArrayList<>();
        if (request.getAttribute(CERTIFICATES) instanceof X509Certificate[] certificates) {
            for (X509Certificate certificate : certificates) {
                Map<String, Object> facts = new LinkedHashMap<>();
                facts.put("subject", certificate.getSubjectX500Principal().getName());
                facts.put("sha256", hex(sha256().digest(certificate.getEncoded())));
                chain.add(facts);
            }
        }
        return chain;
    }

    private static void body(InputStream in, Map<String, Object> facts) throws IOException, GeneralSecurityException {
        MessageDigest digest = sha256();
        byte[] piece = new byte[16 * 1024];
        long total = 0;
        for (int n = in.read(piece); n >= 0; n = in.read(piece)) {
            digest.update(piece, 0, n);
            total += n;
        }
        facts.put("bodyLength", total);
        facts.put("bodySha256", hex(digest.digest()));
    }

    private static MessageDigest sha256() throws GeneralSecurityException {
        return MessageDigest.getInstance("SHA-256");
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}
