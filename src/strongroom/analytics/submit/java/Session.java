package strongroom.submit;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.security.KeyStore;
import java.util.Properties;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** The session's folder as the JVM sees it: which settings stay, the gateway's token, certificates. */
final class Session {
    private Session() {
    }

    static Properties load(String folder) throws Exception {
        Properties kept = new Properties();
        InputStream file = Files.newInputStream(Paths.get(folder, new String[] {"locked.properties"}));
        try {
            kept.load(file);
        } finally {
            file.close();
        }
        return kept;
    }

    static byte[] read(String folder, String name) throws Exception {
        return Files.readAllBytes(Paths.get(folder, new String[] {name}));
    }

    static String token(String folder) throws Exception {
        return new String(read(folder, "gateway.token"), StandardCharsets.US_ASCII);
    }

    static void publish(String folder, int port) throws Exception {
        Path part = Paths.get(folder, new String[] {"gateway.port.part"});
        Files.write(part, Integer.toString(port).getBytes(StandardCharsets.US_ASCII));
        Path whole = Paths.get(folder, new String[] {"gateway.port"});
        Files.move(part, whole, new StandardCopyOption[] {StandardCopyOption.ATOMIC_MOVE});
    }

    static SSLContext tls() throws Exception {
        KeyManagerFactory own = KeyManagerFactory.getInstance("PKIX");
        own.init(store("spark.ssl.keyStore"), password("spark.ssl.keyPassword"));
        TrustManagerFactory others = TrustManagerFactory.getInstance("PKIX");
        others.init(store("spark.ssl.trustStore"));
        SSLContext context = SSLContext.getInstance("TLSv1.3");
        context.init(own.getKeyManagers(), others.getTrustManagers(), null);
        return context;
    }

    private static KeyStore store(String name) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        InputStream file = Files.newInputStream(Paths.get(System.getProperty(name), new String[0]));
        try {
            store.load(file, password(name + "Password"));
        } finally {
            file.close();
        }
        return store;
    }

    private static char[] password(String name) {
        return System.getProperty(name).toCharArray();
    }
}
