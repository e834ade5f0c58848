package strongroom.sealed;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.List;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.ChecksumFileSystem;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.util.Progressable;

import strongroom.parquet.StrongroomKmsClient;

/**
 * The files of one sealed data set in clear, for Spark's own reader: sealed:// and the data set's name, then the path.
 *
 * Names and sizes are those that the driver checked. A file is held against its pin when it is opened, under a data key
 * that this process's key agent unwraps, and each of its nodes before a byte of it is handed out. Nothing is written.
 */
public final class SealedFileSystem extends FileSystem {
    static final String SCHEME = "sealed";
    private static final long BLOCK_BYTES = 128L * 1024 * 1024;

    private DataSet data;
    private URI uri;
    private Path root;

    public void initialize(URI name, Configuration configuration) throws IOException {
        super.initialize(name, configuration);
        this.data = DataSet.of(configuration);
        if (!this.data.name.equals(name.getAuthority())) {
            throw new IOException("this reader reads the sealed data set " + this.data.name + " and no other");
        }
        setConf(configuration);
        this.uri = URI.create(SCHEME + "://" + name.getAuthority());
        this.root = new Path(SCHEME, name.getAuthority(), "/");
    }

    public String getScheme() {
        return SCHEME;
    }

    public URI getUri() {
        return this.uri;
    }

    public FSDataInputStream open(Path path, int bufferSize) throws IOException {
        Entry entry = entry(path);
        Path place = new Path(new Path(this.data.address), new Path(null, null, entry.path)); // a colon is no scheme
        FileSystem found = place.getFileSystem(getConf());
        // Hadoop's checksums beside local files are for disks that forget; here the file's own tags decide.
        FileSystem files =
            found instanceof ChecksumFileSystem ? ((ChecksumFileSystem) found).getRawFileSystem() : found;
        FSDataInputStream stored;
        try {
            FileStatus status = files.getFileStatus(place);
            if (!status.isFile() || status.getLen() != entry.size) {
                throw new Refusal(Entry.CHANGED, entry.path,
                    "it has " + status.getLen() + " bytes instead of " + entry.size);
            }
            stored = files.open(place, Layout.NODE_BYTES);
        } catch (FileNotFoundException missing) {
            throw new Refusal(Entry.CHANGED, entry.path, "it is missing");
        }
        boolean done = false;
        try {
            FSDataInputStream opened = new FSDataInputStream(opened(stored, entry));
            done = true;
            return opened;
        } catch (GeneralSecurityException problem) {
            throw new IOException("this Java cannot open sealed files: " + problem.getMessage());
        } finally {
            if (!done) {
                stored.close();
            }
        }
    }

    private SealedInput opened(FSDataInputStream stored, Entry entry) throws IOException, GeneralSecurityException {
        if (entry.size < Layout.NODE_BYTES) {
            throw entry.other();
        }
        byte[] first = new byte[Layout.NODE_BYTES];
        stored.readFully(first);
        Gcm gcm = new Gcm();
        StrongroomKmsClient keys = new StrongroomKmsClient();
        keys.initialize(getConf(), null, null, null);
        byte[] key = keys.unwrapKey(this.data.wrapped, this.data.keyId);
        try {
            Node0 node0 = Node0.open(first, entry.size, entry, key, gcm);
            return new SealedInput(stored, entry, new Tree(stored, entry, node0, gcm));
        } finally {
            Arrays.fill(key, (byte) 0);
        }
    }

    /** Return all files for the root, whatever folders they lie in, or the one that is asked for. */
    public FileStatus[] listStatus(Path path) throws IOException {
        if (!below(path).isEmpty()) {
            return new FileStatus[] {getFileStatus(path)};
        }
        List files = this.data.files();
        FileStatus[] found = new FileStatus[files.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = status((Entry) files.get(i));
        }
        return found;
    }

    public FileStatus getFileStatus(Path path) throws IOException {
        if (below(path).isEmpty()) {
            return new FileStatus(0L, true, 1, BLOCK_BYTES, 0L, this.root);
        }
        return status(entry(path));
    }

    private FileStatus status(Entry entry) {
        Path path = new Path(this.root, new Path(null, null, entry.path));
        return new FileStatus(entry.plainSize, false, 1, BLOCK_BYTES, 0L, path);
    }

    private Entry entry(Path path) throws IOException {
        Entry found = this.data.file(below(path));
        if (found == null) {
            throw new FileNotFoundException(path + " is none of the data set's files");
        }
        return found;
    }

    private String below(Path path) {
        checkPath(path);
        String text = path.toUri().getPath();
        return text.startsWith("/") ? text.substring(1) : text;
    }

    public Path getWorkingDirectory() {
        return this.root;
    }

    public void setWorkingDirectory(Path path) {
    }

    public FSDataOutputStream create(Path path, FsPermission permission, boolean overwrite, int bufferSize,
            short replication, long blockSize, Progressable progress) throws IOException {
        throw readOnly();
    }

    public FSDataOutputStream append(Path path, int bufferSize, Progressable progress) throws IOException {
        throw readOnly();
    }

    public boolean rename(Path from, Path to) throws IOException {
        throw readOnly();
    }

    public boolean delete(Path path, boolean recursive) throws IOException {
        throw readOnly();
    }

    public boolean mkdirs(Path path, FsPermission permission) throws IOException {
        throw readOnly();
    }

    private static IOException readOnly() {
        return new IOException("a sealed data set is written by StrongroomContext, and only read here");
    }
}
