package strongroom.submit;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.FilterConfig;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;

/**
 * Shows the driver's pages to who has the session's token alone: they quote rows in messages of errors, and plans. The
 * token is a browser's password (of any user), or stands behind "Bearer".
 */
public final class Login implements Filter {
    private byte[] token = null;

    public void init(FilterConfig config) throws ServletException {
        try {
            this.token = Session.read(System.getProperty("spark.strongroom.folder"), "page.token");
        } catch (Exception problem) {
            throw new ServletException("the page's token cannot be read", problem);
        }
    }

    public void doFilter(ServletRequest request, ServletResponse response, FilterChain rest)
            throws IOException, ServletException {
        byte[] shown = shown(((HttpServletRequest) request).getHeader("Authorization"));
        if (this.token.length > 0 && MessageDigest.isEqual(this.token, shown)) {
            rest.doFilter(request, response);
            return;
        }
        HttpServletResponse refusal = (HttpServletResponse) response;
        refusal.setHeader("WWW-Authenticate", "Basic realm=\"Strongroom\", charset=\"UTF-8\"");
        refusal.sendError(401);
    }

    public void destroy() {
    }

    private static byte[] shown(String header) {
        if (header != null && header.startsWith("Bearer ")) {
            return header.substring(7).trim().getBytes(StandardCharsets.UTF_8);
        }
        if (header != null && header.startsWith("Basic ")) {
            try {
                String pair = new String(Base64.getDecoder().decode(header.substring(6).trim()), StandardCharsets.UTF_8);
                return pair.substring(pair.indexOf(':') + 1).getBytes(StandardCharsets.UTF_8);
            } catch (IllegalArgumentException problem) {
                return new byte[0]; // no Base64: nothing was shown
            }
        }
        return new byte[0];
    }
}
