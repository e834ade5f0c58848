package strongroom.parquet;

import java.io.File;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.attribute.UserPrincipal;

import jdk.net.ExtendedSocketOptions;
import jdk.net.UnixDomainPrincipal;

import shaded.parquet.com.fasterxml.jackson.core.JsonFactory;
import shaded.parquet.com.fasterxml.jackson.core.JsonGenerator;
import shaded.parquet.com.fasterxml.jackson.core.JsonParser;
import shaded.parquet.com.fasterxml.jackson.core.JsonToken;

/**
 * One question to the key agent of this process group, and its answer (strongroom/datasets/agent.py has the frames).
 *
 * A connection serves one question: Parquet asks once per key and cache lifetime, so nothing is gained by keeping it.
 */
public final class AgentChannel {
    static final int MAX_FRAME_BYTES = 16 * 1024;
    static final int LENGTH_BYTES = 4;
    static final long TIMEOUT_NS = 30L * 1000 * 1000 * 1000;

    private AgentChannel() {
    }

    /** Return the data of the agent's answer; throw AgentRefused if it refuses, IOException if there is no agent. */
    public static String ask(String socketPath, String op, String keyId, String data) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(socketPath));
            checkPeer(channel, socketPath);
            channel.configureBlocking(false);
            Selector selector = Selector.open();
            try {
                SelectionKey key = channel.register(selector, SelectionKey.OP_WRITE);
                long end = System.nanoTime() + TIMEOUT_NS;
                send(channel, selector, ByteBuffer.wrap(request(op, keyId, data)), end);
                key.interestOps(SelectionKey.OP_READ);
                return answer(receive(channel, selector, end));
            } finally {
                selector.close();
            }
        } finally {
            channel.close();
        }
    }

    /**
     * Throw AgentRefused for another user's program, before it hears a word (strongroom/analytics/keys/agent.py). Who
     * owns /proc/self is who this process runs as.
     */
    private static void checkPeer(SocketChannel channel, String socketPath) throws IOException {
        UnixDomainPrincipal peer = (UnixDomainPrincipal) channel.getOption(ExtendedSocketOptions.SO_PEERCRED);
        UserPrincipal self = (UserPrincipal) Files.getOwner(new File("/proc/self").toPath(), new LinkOption[0]);
        if (!peer.user().equals(self)) {
            throw new AgentRefused("SR-AGENT-OF-ANOTHER", "a program of another user answers at " + socketPath);
        }
    }

    private static byte[] request(String op, String keyId, String data) throws IOException {
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
        JsonGenerator json = new JsonFactory().createGenerator(out);
        json.writeStartObject();
        json.writeStringField("op", op);
        json.writeStringField("key_id", keyId);
        json.writeStringField("data", data);
        json.writeEndObject();
        json.close();
        byte[] body = out.toByteArray();
        if (body.length > MAX_FRAME_BYTES) {
            throw new IOException("a question to the key agent is too long");
        }
        return ByteBuffer.allocate(LENGTH_BYTES + body.length).putInt(body.length).put(body).array();
    }

    private static String answer(byte[] body) throws IOException {
        boolean ok = false;
        String data = null;
        String code = null;
        String sentence = null;
        JsonParser json = new JsonFactory().createParser(body);
        try {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("the key agent's answer is no object");
            }
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.getCurrentName();
                JsonToken value = json.nextToken();
                if ("ok".equals(name) && value.isBoolean()) {
                    ok = value == JsonToken.VALUE_TRUE;
                } else if ("data".equals(name) && value == JsonToken.VALUE_STRING) {
                    data = json.getText();
                } else if ("code".equals(name) && value == JsonToken.VALUE_STRING) {
                    code = json.getText();
                } else if ("sentence".equals(name) && value == JsonToken.VALUE_STRING) {
                    sentence = json.getText();
                } else {
                    throw new IOException("the key agent's answer is not in its form");
                }
            }
        } finally {
            json.close();
        }
        if (ok && data != null) {
            return data;
        }
        if (ok || code == null || sentence == null) {
            throw new IOException("the key agent's answer is not in its form");
        }
        throw new AgentRefused(code, sentence);
    }

    private static void send(SocketChannel channel, Selector selector, ByteBuffer data, long end) throws IOException {
        while (data.hasRemaining()) {
            await(selector, end);
            channel.write(data);
        }
    }

    private static byte[] receive(SocketChannel channel, Selector selector, long end) throws IOException {
        int length = read(channel, selector, LENGTH_BYTES, end).getInt();
        if (length < 0 || length > MAX_FRAME_BYTES) {
            throw new IOException("the key agent's answer is too long");
        }
        return read(channel, selector, length, end).array();
    }

    private static ByteBuffer read(SocketChannel channel, Selector selector, int count, long end) throws IOException {
        ByteBuffer into = ByteBuffer.allocate(count);
        while (into.hasRemaining()) {
            await(selector, end);
            if (channel.read(into) < 0) {
                throw new IOException("the key agent closed the connection without an answer");
            }
        }
        into.flip();
        return into;
    }

    private static void await(Selector selector, long end) throws IOException {
        long left = (end - System.nanoTime()) / 1000000L;
        if (left <= 0 || selector.select(left) == 0) {
            throw new IOException("the key agent did not answer in time");
        }
        selector.selectedKeys().clear();
    }
}
