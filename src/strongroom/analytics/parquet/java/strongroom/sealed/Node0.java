package strongroom.sealed;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;

/** Node 0 of a sealed file, opened: every check of strongroom/analytics/sealing/read.py's open_sealed, in its order. */
final class Node0 {
    private static final byte[] MAGIC = "GRAFS_PF".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] OLD_MAGIC = "GRAPH_PF".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] LABEL = "SGX-PROTECTED-FS-METADATA-KEY".getBytes(StandardCharsets.US_ASCII);
    private static final int LABEL_BYTES = 64;
    private static final int NONCE_AT = 10;
    private static final int NONCE_BYTES = 32;
    private static final int TAG_AT = NONCE_AT + NONCE_BYTES;
    private static final int FLAGS_AT = TAG_AT + Layout.TAG_BYTES;
    private static final int PATH_BYTES = 772;
    private static final int SIZE_AT = PATH_BYTES;
    private static final int ROOT_AT = SIZE_AT + 8;
    private static final int HEAD_AT = ROOT_AT + Layout.ENTRY_BYTES;
    private static final int METADATA_BYTES = HEAD_AT + Layout.HEAD_BYTES;
    // SHA-256 of the wrap key that everybody knows: strongroom/sealing/keys.py
    private static final String PUBLIC_KEY = "f60d62729217ea30ad6a79e6a73af9a950e640019176081cd9eaeffee6af727e";

    final long size;
    final byte[] root;
    final byte[] head;

    private Node0(long size, byte[] root, byte[] head) {
        this.size = size;
        this.root = root;
        this.head = head;
    }

    /** Return what node 0 says. `length`: the file's, which its entry has as well. */
    static Node0 open(byte[] node0, long length, Entry entry, byte[] key, Gcm gcm)
            throws IOException, GeneralSecurityException {
        // 1. Header: what is no sealed file, or has flags or padding, was not written by us.
        boolean known = starts(node0, MAGIC) || starts(node0, OLD_MAGIC);
        int major = node0[MAGIC.length];
        if (length % Layout.NODE_BYTES != 0 || !known || (major != 1 && major != 2)) {
            throw entry.other();
        }
        int sealedAt = major == 2 ? FLAGS_AT + 1 : FLAGS_AT;
        if ((major == 2 && node0[FLAGS_AT] != 0) || !zero(node0, sealedAt + METADATA_BYTES)) {
            throw new Refusal(Entry.CHANGED, entry.path,
                "it is not the file that was written: its first block was changed");
        }
        // 2. It is the version that the manifest pins. Flags and padding, which no pin covers, are zero by now.
        if (!MessageDigest.isEqual(MessageDigest.getInstance("SHA-256").digest(node0), entry.pin)) {
            throw entry.other();
        }
        // 3. The metadata's tag, under the data key.
        checkKey(key, entry);
        byte[] plain = metadata(node0, sealedAt, key, gcm);
        if (plain == null) {
            throw new Refusal("SR-SEALED-METADATA", entry.path, "node 0 does not open: either this is not the file's "
                + "wrap key, or node 0 was tampered with");
        }
        try {
            // 4. The path to which the file is bound.
            if (!Arrays.equals(path(plain), entry.path.getBytes(StandardCharsets.UTF_8))) {
                throw new Refusal("SR-SEALED-PATH", entry.path, "the file is bound to another path");
            }
            // 5. Every node that the size needs is there; a size has at most as many bytes as the file.
            long size = ByteBuffer.wrap(plain).order(ByteOrder.LITTLE_ENDIAN).getLong(SIZE_AT);
            if (size < 0 || size > length || Layout.nodeCount(size) * Layout.NODE_BYTES > length
                    || size != entry.plainSize) {
                throw entry.other();
            }
            return new Node0(size, Arrays.copyOfRange(plain, ROOT_AT, HEAD_AT),
                Arrays.copyOfRange(plain, HEAD_AT, METADATA_BYTES));
        } finally {
            Arrays.fill(plain, (byte) 0);
        }
    }

    private static byte[] metadata(byte[] node0, int sealedAt, byte[] key, Gcm gcm) throws GeneralSecurityException {
        ByteBuffer message = ByteBuffer.allocate(4 + LABEL_BYTES + NONCE_BYTES + 4).order(ByteOrder.LITTLE_ENDIAN);
        message.putInt(0, 1);
        message.position(4);
        message.put(LABEL);
        message.position(4 + LABEL_BYTES);
        message.put(node0, NONCE_AT, NONCE_BYTES);
        message.putInt(8 * Layout.KEY_BYTES);
        byte[] sealed = new byte[METADATA_BYTES + Layout.TAG_BYTES];
        System.arraycopy(node0, sealedAt, sealed, 0, METADATA_BYTES);
        System.arraycopy(node0, TAG_AT, sealed, METADATA_BYTES, Layout.TAG_BYTES);
        byte[] plain = new byte[METADATA_BYTES];
        byte[] metadataKey = Gcm.cmac(key, message.array());
        try {
            return gcm.open(metadataKey, 0, sealed, 0, METADATA_BYTES, plain, 0) ? plain : null;
        } finally {
            Arrays.fill(metadataKey, (byte) 0);
        }
    }

    private static void checkKey(byte[] key, Entry entry) throws IOException, GeneralSecurityException {
        if (key.length != Layout.KEY_BYTES) {
            throw new Refusal("SR-WRAP-KEY", entry.path,
                "the wrap key has " + key.length + " bytes, wanted " + Layout.KEY_BYTES);
        }
        int differs = 0;
        for (int i = 1; i < key.length; i++) {
            differs |= key[i] ^ key[0];
        }
        String digest = Entry.hex(MessageDigest.getInstance("SHA-256").digest(key));
        if (differs == 0 || digest.equals(PUBLIC_KEY)) {
            throw new Refusal("SR-WEAK-KEY", entry.path, "the wrap key is one byte repeated, or a published one");
        }
    }

    private static byte[] path(byte[] plain) {
        int end = 0;
        while (end < PATH_BYTES && plain[end] != 0) {
            end++;
        }
        return Arrays.copyOf(plain, end);
    }

    private static boolean starts(byte[] node0, byte[] magic) {
        return Arrays.equals(Arrays.copyOf(node0, magic.length), magic);
    }

    private static boolean zero(byte[] bytes, int from) {
        int any = 0;
        for (int i = from; i < bytes.length; i++) {
            any |= bytes[i];
        }
        return any == 0;
    }
}
