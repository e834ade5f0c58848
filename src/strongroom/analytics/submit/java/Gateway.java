package strongroom.submit;

import java.net.InetAddress;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import py4j.PythonClient;

/**
 * The driver's JVM behind TLS: what org.apache.spark.api.python.PythonGatewayServer does in clear. Both sides show a
 * certificate of the session's own authority, and Python names a token besides. Ends with its parent.
 */
public final class Gateway {
    private Gateway() {
    }

    public static void main(String[] arguments) throws Exception {
        String folder = System.getProperty("spark.strongroom.folder");
        SSLContext tls = Session.tls();
        InetAddress loopback = InetAddress.getByName("127.0.0.1");
        String token = Session.token(folder);
        // No token in this direction: py4j forgets it when Python names its port, and the certificate says enough.
        PythonClient python = new PythonClient(
                null, null, 0, loopback, 30L, TimeUnit.SECONDS, tls.getSocketFactory(), null, true, 0, null);
        TlsServer server = new TlsServer(tls, python, token);
        python.setGateway(server.getGateway());
        python.setJavaServer(server);
        server.start(true);
        Session.publish(folder, server.getListeningPort());
        while (System.in.read() != -1) {
            continue;
        }
        System.exit(0);
    }
}
