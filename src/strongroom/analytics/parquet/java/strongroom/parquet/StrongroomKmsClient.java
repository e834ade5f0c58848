package strongroom.parquet;

import java.io.IOException;
import java.util.Arrays;
import java.util.Base64;

import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.crypto.KeyAccessDeniedException;
import org.apache.parquet.crypto.keytools.KmsClient;

/**
 * Parquet's keys from the key agent of this process group, which holds them since it proved itself to the broker.
 *
 * The environment (STRONGROOM_AGENT) or the configuration (strongroom.agent) names the agent's socket, and never a key. Master key ids are NAME.VERSION; what is wrapped is as parquet-java's LocalWrapKmsClient wraps it.
 */
public final class StrongroomKmsClient implements KmsClient {
    public static final String LOCAL_PROPERTY = "strongroom.agent.local";
    public static final String SOCKET_PROPERTY = "strongroom.agent";
    public static final String SOCKET_VARIABLE = "STRONGROOM_AGENT";

    private String socketPath;

    public void initialize(Configuration configuration, String instanceId, String instanceUrl, String token) {
        // The environment before the settings: an executor has an agent of its own, whatever the driver's settings name.
        // Before both, a context of a Spark that is one process, which may have several agents.
        String path = configuration.getTrimmed(LOCAL_PROPERTY, "");
        if (path.isEmpty()) {
            path = System.getenv(SOCKET_VARIABLE);
        }
        if (path == null || path.isEmpty()) {
            path = configuration.getTrimmed(SOCKET_PROPERTY, "");
        }
        if (path.isEmpty()) {
            throw new KeyAccessDeniedException("SR-DATA-KEY-DENIED: this process has no key agent ("
                + SOCKET_VARIABLE + " or " + SOCKET_PROPERTY + " names its socket)");
        }
        this.socketPath = path;
    }

    public String wrapKey(byte[] key, String masterKeyId) {
        return ask("wrap", masterKeyId, Base64.getEncoder().encodeToString(key));
    }

    public byte[] unwrapKey(String wrapped, String masterKeyId) {
        byte[] key;
        try {
            key = Base64.getDecoder().decode(ask("unwrap", masterKeyId, wrapped));
        } catch (IllegalArgumentException problem) {
            throw new KeyAccessDeniedException("the key agent's answer is no key");
        }
        if (key.length != 16 && key.length != 24 && key.length != 32) {
            Arrays.fill(key, (byte) 0);
            throw new KeyAccessDeniedException("the key agent's answer is no key");
        }
        return key;
    }

    private String ask(String op, String masterKeyId, String data) {
        try {
            return AgentChannel.ask(this.socketPath, op, masterKeyId, data);
        } catch (AgentRefused refused) {
            throw new KeyAccessDeniedException(refused.getMessage());
        } catch (IOException problem) {
            throw new KeyAccessDeniedException("the key agent at " + this.socketPath + " cannot be asked: "
                + problem.getMessage(), problem);
        }
    }
}
