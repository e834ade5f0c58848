package strongroom.sealed;

import java.io.EOFException;
import java.io.IOException;
import java.security.GeneralSecurityException;

import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSInputStream;

/** The plaintext of a sealed file, opened where it is read. A bad node ends the read that came upon it. */
final class SealedInput extends FSInputStream {
    private final FSDataInputStream stored;
    private final Entry entry;
    private final Tree tree;
    private long position;
    private boolean closed;

    SealedInput(FSDataInputStream stored, Entry entry, Tree tree) {
        this.stored = stored;
        this.entry = entry;
        this.tree = tree;
    }

    public synchronized int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    /** Read what was asked for, fewer bytes only at the end. */
    public synchronized int read(byte[] to, int at, int count) throws IOException {
        if (this.closed) {
            throw new IOException("the sealed file is closed");
        }
        if (at < 0 || count < 0 || count > to.length - at) {
            throw new IndexOutOfBoundsException("there is no such room");
        }
        if (count == 0) {
            return 0;
        }
        if (this.position >= this.entry.plainSize) {
            return -1;
        }
        int total = (int) Math.min((long) count, this.entry.plainSize - this.position);
        int done = 0;
        try {
            while (done < total) {
                done += this.tree.copy(this.position + done, to, at + done, total - done);
            }
        } catch (GeneralSecurityException problem) {
            throw new IOException("this Java cannot open sealed files: " + problem.getMessage());
        }
        this.position += total;
        return total;
    }

    public synchronized void seek(long target) throws IOException {
        if (target < 0 || target > this.entry.plainSize) {
            throw new EOFException("there is no byte " + target + " in " + this.entry.path);
        }
        this.position = target;
    }

    public synchronized long getPos() {
        return this.position;
    }

    public boolean seekToNewSource(long target) {
        return false;
    }

    public synchronized int available() {
        return (int) Math.min((long) Integer.MAX_VALUE, this.entry.plainSize - this.position);
    }

    public synchronized void close() throws IOException {
        if (!this.closed) {
            this.closed = true;
            this.tree.forget();
            this.stored.close();
        }
    }
}
