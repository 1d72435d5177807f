package lab;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.catalina.connector.RequestFacade;
import org.apache.tomcat.util.buf.ByteChunk;
import org.apache.tomcat.util.buf.MessageBytes;
import org.apache.tomcat.util.http.MimeHeaders;

/**
 * What Tomcat's AJP decoder found in the message, byte for byte in hexadecimal, beside what the
 * servlet API says. It looks behind the API: headers in wire order, and all attributes.
 *
 * <p>The answer is JSON; a HEAD request has it in the header X-Facts.
 */
public class Facts extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final String CERTIFICATES = "jakarta.servlet.request.X509Certificate";

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Map<String, Object> facts = new LinkedHashMap<>();
        try {
            api(request, facts);
            message(coyote(request), facts);
            facts.put("certificates", certificates(request));
            attributes(coyote(request), facts);
            body(request.getInputStream(), request.getContentLengthLong(), facts);
        } catch (ReflectiveOperationException | GeneralSecurityException e) {
            throw new IOException(e);
        }
        String json = Json.of(facts).trim();
        if (request.getMethod().equals("HEAD")) {
            response.setHeader("X-Facts", json);
        } else {
            response.setContentType("application/json");
            response.getOutputStream().print(json);
        }
    }

    private static org.apache.coyote.Request coyote(HttpServletRequest request) throws ReflectiveOperationException {
        Field field = RequestFacade.class.getDeclaredField("request");
        field.setAccessible(true);
        return ((org.apache.catalina.connector.Request) field.get(request)).getCoyoteRequest();
    }

    private static void api(HttpServletRequest request, Map<String, Object> facts) {
        facts.put("method", hex(request.getMethod()));
        facts.put("uri", hex(request.getRequestURI()));
        facts.put("query", hex(request.getQueryString()));
        facts.put("protocol", hex(request.getProtocol()));
        facts.put("scheme", request.getScheme());
        facts.put("secure", request.isSecure());
        facts.put("remoteAddr", hex(request.getRemoteAddr()));
        facts.put("remotePort", request.getRemotePort());
        facts.put("localAddr", hex(request.getLocalAddr()));
        facts.put("serverName", hex(request.getServerName()));
        facts.put("serverPort", request.getServerPort());
        facts.put("remoteUser", hex(request.getRemoteUser()));
        facts.put("authType", hex(request.getAuthType()));
        facts.put("contentLength", request.getContentLengthLong());
        facts.put("contentType", hex(request.getContentType()));
        List<Object> values = new ArrayList<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            for (String value : Collections.list(request.getHeaders(name))) {
                values.add(List.of(hex(name), hex(value)));
            }
        }
        facts.put("apiHeaders", values);
    }

    /** What the API does not show, or shows only after a decision of its own. */
    private static void message(org.apache.coyote.Request message, Map<String, Object> facts) {
        facts.put("remoteHost", hex(message.remoteHost()));
        facts.put("localName", hex(message.localName()));
        facts.put("localPort", message.getLocalPort());
        MimeHeaders lines = message.getMimeHeaders();
        List<Object> headers = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            headers.add(Arrays.asList(hex(lines.getName(i)), hex(lines.getValue(i))));
        }
        facts.put("headers", headers);
    }

    private static void attributes(org.apache.coyote.Request message, Map<String, Object> facts) {
        Map<String, Object> found = new LinkedHashMap<>();
        for (Map.Entry<String, Object> entry : message.getAttributes().entrySet()) {
            Object value = entry.getValue();
            if (!entry.getKey().equals(CERTIFICATES)) {
                found.put(hex(entry.getKey()), value instanceof String text ? hex(text) : value);
            }
        }
        facts.put("attributes", found);
    }

    private static List<Object> certificates(HttpServletRequest request) throws GeneralSecurityException {
        List<Object> digests = new ArrayList<>();
        if (request.getAttribute(CERTIFICATES) instanceof X509Certificate[] chain) {
            for (X509Certificate certificate : chain) {
                digests.add(HexFormat.of().formatHex(sha256().digest(certificate.getEncoded())));
            }
        }
        return digests;
    }

    /** A known length is not read beyond: Tomcat would ask the web server for more. */
    private static void body(InputStream in, long length, Map<String, Object> facts)
            throws IOException, GeneralSecurityException {
        MessageDigest digest = sha256();
        byte[] piece = new byte[128 * 1024];
        long total = 0;
        while (length < 0 || total < length) {
            int n = in.read(piece);
            if (n < 0) {
                break;
            }
            digest.update(piece, 0, n);
            total += n;
        }
        facts.put("bodyLength", total);
        facts.put("bodySha256", HexFormat.of().formatHex(digest.digest()));
    }

    private static MessageDigest sha256() throws GeneralSecurityException {
        return MessageDigest.getInstance("SHA-256");
    }

    private static String hex(MessageBytes bytes) {
        if (bytes.getType() == MessageBytes.T_BYTES) {
            ByteChunk chunk = bytes.getByteChunk();
            return HexFormat.of().formatHex(chunk.getBytes(), chunk.getStart(), chunk.getEnd());
        }
        return hex(bytes.toString());
    }

    /** Tomcat makes strings of bytes as ISO-8859-1, so this gets the bytes back. */
    private static String hex(String text) {
        return text == null ? null : HexFormat.of().formatHex(text.getBytes(StandardCharsets.ISO_8859_1));
    }
}
