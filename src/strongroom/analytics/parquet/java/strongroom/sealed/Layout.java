package strongroom.sealed;

/** Where everything lies in a sealed file (strongroom/sealing/layout.py has the words and the same names). */
final class Layout {
    static final int NODE_BYTES = 4096;
    static final int HEAD_BYTES = 3072;
    static final int KEY_BYTES = 16;
    static final int TAG_BYTES = 16;
    static final int ENTRY_BYTES = KEY_BYTES + TAG_BYTES;
    static final int DATA_PER_TABLE = 96;
    static final int CHILDREN_PER_TABLE = 32;
    static final int DATA_ENTRIES_BYTES = DATA_PER_TABLE * ENTRY_BYTES;

    private Layout() {
    }

    static long dataCount(long size) {
        return size <= HEAD_BYTES ? 0L : (size - HEAD_BYTES - 1L) / NODE_BYTES + 1L;
    }

    static long nodeCount(long size) {
        long data = dataCount(size);
        return 1L + data + (data + DATA_PER_TABLE - 1L) / DATA_PER_TABLE;
    }

    static long dataNode(long data) {
        return 2L + data + data / DATA_PER_TABLE;
    }

    static long tableNode(long table) {
        return 1L + (DATA_PER_TABLE + 1L) * table;
    }

    /** Return the plaintext offset at which a data node begins. */
    static long start(long data) {
        return HEAD_BYTES + data * NODE_BYTES;
    }
}
