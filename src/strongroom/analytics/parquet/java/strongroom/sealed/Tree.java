package strongroom.sealed;

import java.io.EOFException;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

import org.apache.hadoop.fs.FSDataInputStream;

/** Nodes below node 0. No plaintext leaves before the tags of its node and of every table above it were verified. */
final class Tree {
    static final int CACHED_TABLES = 64;
    static final int RUN_NODES = 32; // read and opened at once, where so many are asked for

    private final FSDataInputStream stored;
    private final Entry entry;
    private final Gcm gcm;
    private final Node0 node0;
    private final LinkedHashMap tables = new LinkedHashMap(16, 0.75f, true); // Long -> byte[], the oldest first
    private final byte[] held = new byte[Layout.NODE_BYTES];
    private byte[] sealed = new byte[Layout.NODE_BYTES + Layout.TAG_BYTES];
    private long heldData = -1;

    Tree(FSDataInputStream stored, Entry entry, Node0 node0, Gcm gcm) throws IOException, GeneralSecurityException {
        this.stored = stored;
        this.entry = entry;
        this.node0 = node0;
        this.gcm = gcm;
        if (node0.size > Layout.HEAD_BYTES) {
            table(0L);
        }
    }

    /** Copy plaintext from an offset below the end, at least one byte and at most `count`; return how many. */
    int copy(long offset, byte[] to, int at, int count) throws IOException, GeneralSecurityException {
        int left = (int) Math.min((long) count, this.node0.size - offset);
        if (offset < Layout.HEAD_BYTES) {
            int some = Math.min(left, Layout.HEAD_BYTES - (int) offset);
            System.arraycopy(this.node0.head, (int) offset, to, at, some);
            return some;
        }
        long data = (offset - Layout.HEAD_BYTES) / Layout.NODE_BYTES;
        int within = (int) (offset - Layout.start(data));
        if (within == 0 && left >= Layout.NODE_BYTES && data != this.heldData) {
            int most = Math.min(RUN_NODES, Layout.DATA_PER_TABLE - (int) (data % Layout.DATA_PER_TABLE));
            int nodes = Math.min(most, left / Layout.NODE_BYTES);
            open(data, nodes, to, at);
            return nodes * Layout.NODE_BYTES;
        }
        if (data != this.heldData) {
            this.heldData = -1;
            open(data, 1, this.held, 0);
            this.heldData = data;
        }
        int some = Math.min(left, Layout.NODE_BYTES - within);
        System.arraycopy(this.held, within, to, at, some);
        return some;
    }

    /** Open data nodes of one table into `to`; of a run with a bad node nothing is left there. */
    private void open(long first, int nodes, byte[] to, int at) throws IOException, GeneralSecurityException {
        byte[] entries = table(first / Layout.DATA_PER_TABLE);
        int size = nodes * Layout.NODE_BYTES;
        if (this.sealed.length < size + Layout.TAG_BYTES) {
            this.sealed = new byte[RUN_NODES * Layout.NODE_BYTES + Layout.TAG_BYTES];
        }
        load(Layout.dataNode(first), size);
        // From the end: a node's tag is laid behind it, where the next one was that is opened by now.
        for (int i = nodes - 1; i >= 0; i--) {
            int entryAt = ((int) (first % Layout.DATA_PER_TABLE) + i) * Layout.ENTRY_BYTES;
            if (!opened(entries, entryAt, i * Layout.NODE_BYTES, to, at + i * Layout.NODE_BYTES)) {
                Arrays.fill(to, at, at + size, (byte) 0);
                throw new Refusal("SR-SEALED-DATA", this.entry.path, "data node " + (Layout.dataNode(first) + i)
                    + " does not match the tag that its table keeps");
            }
        }
    }

    private byte[] table(long table) throws IOException, GeneralSecurityException {
        byte[] known = (byte[]) this.tables.get(Long.valueOf(table));
        if (known != null) {
            return known;
        }
        byte[] entries = this.node0.root;
        int entryAt = 0;
        if (table > 0) {
            entries = table((table - 1) / Layout.CHILDREN_PER_TABLE);
            entryAt = Layout.DATA_ENTRIES_BYTES + Layout.ENTRY_BYTES * (int) ((table - 1) % Layout.CHILDREN_PER_TABLE);
        }
        long node = Layout.tableNode(table);
        load(node, Layout.NODE_BYTES);
        byte[] plain = new byte[Layout.NODE_BYTES];
        if (!opened(entries, entryAt, 0, plain, 0)) {
            throw new Refusal(table == 0 ? "SR-SEALED-ROOT" : "SR-SEALED-TABLE", this.entry.path, "table " + table
                + " (node " + node + ") does not match the tag that its parent keeps");
        }
        this.tables.put(Long.valueOf(table), plain);
        if (this.tables.size() > CACHED_TABLES) {
            Iterator oldest = this.tables.entrySet().iterator();
            Arrays.fill((byte[]) ((Map.Entry) oldest.next()).getValue(), (byte) 0);
            oldest.remove();
        }
        return plain;
    }

    private boolean opened(byte[] entries, int entryAt, int sealedAt, byte[] to, int at)
            throws GeneralSecurityException {
        System.arraycopy(entries, entryAt + Layout.KEY_BYTES, this.sealed, sealedAt + Layout.NODE_BYTES,
            Layout.TAG_BYTES);
        return this.gcm.open(entries, entryAt, this.sealed, sealedAt, Layout.NODE_BYTES, to, at);
    }

    private void load(long node, int size) throws IOException {
        this.stored.seek(node * Layout.NODE_BYTES);
        try {
            this.stored.readFully(this.sealed, 0, size);
        } catch (EOFException cut) {
            throw new Refusal("SR-INPUT-CHANGED", this.entry.path, "the input ended where more was expected");
        }
    }

    /** Forget keys and plaintext. */
    void forget() {
        Iterator all = this.tables.values().iterator();
        while (all.hasNext()) {
            Arrays.fill((byte[]) all.next(), (byte) 0);
        }
        this.tables.clear();
        Arrays.fill(this.held, (byte) 0);
        Arrays.fill(this.node0.root, (byte) 0);
        Arrays.fill(this.node0.head, (byte) 0);
        this.heldData = -1;
    }
}
