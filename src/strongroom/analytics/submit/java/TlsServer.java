package strongroom.submit;

import java.io.IOException;
import java.net.Socket;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import py4j.Gateway;
import py4j.JavaServer;
import py4j.PythonClient;
import py4j.Py4JServerConnection;

/**
 * py4j's server with TLS around each connection. Its own builder takes a factory of server sockets and does not use
 * it (JavaServer always makes plain ones), so that a socket is wrapped once it has been accepted.
 */
final class TlsServer extends JavaServer {
    private final SSLContext tls;

    TlsServer(SSLContext tls, PythonClient python, String token) {
        super(null, 0, 0, 0, null, python, token);
        this.tls = tls;
    }

    protected Py4JServerConnection createConnection(Gateway gateway, Socket plain) throws IOException {
        String peer = plain.getInetAddress().getHostAddress();
        SSLSocket socket = (SSLSocket) this.tls.getSocketFactory().createSocket(plain, peer, plain.getPort(), true);
        socket.setUseClientMode(false);
        socket.setNeedClientAuth(true);
        return super.createConnection(gateway, socket); // the handshake is done by the connection's own thread
    }
}
