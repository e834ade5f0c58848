package strongroom.parquet;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.ChecksumFileSystem;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * The folder of a data set on any of Hadoop's file systems, for the driver: what lies in it, and what its files are.
 *
 * Python decides; this lists, hashes in several threads, moves and removes, where the bytes already are. Paths go to
 * and fro below the folder with / between the parts, several of them in one text with a NUL between: one call of
 * Python's instead of one for each.
 */
public final class DataFolder {
    static final int MAX_FILES = 200000;
    static final int MAX_DEPTH = 17;
    static final int BUFFER_BYTES = 1024 * 1024;

    private final FileSystem files;
    private final Path root;

    public DataFolder(Configuration configuration, String path) throws IOException {
        this.root = new Path(path);
        FileSystem found = this.root.getFileSystem(configuration);
        // Hadoop's checksums beside local files are for disks that forget; here SHA-256 decides.
        this.files = found instanceof ChecksumFileSystem ? ((ChecksumFileSystem) found).getRawFileSystem() : found;
    }

    /** Return the folder's address with its scheme. */
    public String address() {
        return this.files.makeQualified(this.root).toString();
    }

    /** Return "SIZE PATH" of every file below the folder, without those under a name that begins with _ or a dot. */
    public String list(String below) throws IOException {
        List found = new ArrayList();
        try {
            walk(below.isEmpty() ? this.root : below(below), "", 0, found);
        } catch (FileNotFoundException none) {
            found.clear();
        }
        return joined(found);
    }

    private void walk(Path folder, String below, int depth, List found) throws IOException {
        if (depth > MAX_DEPTH) {
            throw new IOException("folders in " + this.root + " are nested too deep");
        }
        FileStatus[] entries = this.files.listStatus(folder);
        for (int i = 0; i < entries.length; i++) {
            String name = entries[i].getPath().getName();
            if (name.startsWith("_") || name.startsWith(".")) {
                continue;
            }
            if (entries[i].isDirectory()) {
                walk(entries[i].getPath(), below + name + "/", depth + 1, found);
            } else {
                found.add(entries[i].getLen() + " " + below + name);
            }
            if (found.size() > MAX_FILES) {
                throw new IOException("there are more than " + MAX_FILES + " files in " + this.root);
            }
        }
    }

    /** Return the SHA-256 (base64) of each file, in the order asked for. */
    public String digests(String joinedPaths, int threads) throws IOException, InterruptedException {
        List paths = split(joinedPaths);
        ExecutorService pool = Executors.newFixedThreadPool(Math.max(1, Math.min(threads, paths.size())));
        try {
            List pending = new ArrayList();
            for (int i = 0; i < paths.size(); i++) {
                pending.add(pool.submit(new Digest(this.files, below((String) paths.get(i)))));
            }
            List found = new ArrayList();
            for (int i = 0; i < pending.size(); i++) {
                found.add(((Future) pending.get(i)).get());
            }
            return joined(found);
        } catch (ExecutionException problem) {
            throw new IOException("a file of " + this.root + " cannot be read: " + problem.getCause().getMessage());
        } finally {
            pool.shutdownNow();
        }
    }

    /** Return the content of a file (base64), null where there is none; an IOException for one that is too long. */
    public String read(String path, int limit) throws IOException {
        InputStream in;
        try {
            in = this.files.open(below(path));
        } catch (FileNotFoundException missing) {
            return null;
        }
        try {
            byte[] content = in.readNBytes(limit + 1);
            if (content.length > limit) {
                throw new IOException(path + " in " + this.root + " is longer than " + limit + " bytes");
            }
            return Base64.getEncoder().encodeToString(content);
        } finally {
            in.close();
        }
    }

    /** Write a file (base64) beside its place, then put it there, over what was there. */
    public void replace(String path, String temporary, String content) throws IOException {
        Path target = below(path);
        Path beside = below(temporary);
        FSDataOutputStream out = this.files.create(beside, false);
        try {
            out.write(Base64.getDecoder().decode(content));
            out.hsync();
        } finally {
            out.close();
        }
        // Hadoop's only rename that replaces is a call away for FileSystems; object stores have none and get two steps.
        boolean moved;
        try {
            moved = this.files.rename(beside, target);
        } catch (FileAlreadyExistsException there) {
            moved = false;
        }
        if (!moved) {
            this.files.delete(target, false);
            rename(beside, target);
        }
    }

    /** Move the files of a folder below this one into this one, under the same paths. */
    public void take(String from, String joinedPaths) throws IOException {
        List paths = split(joinedPaths);
        for (int i = 0; i < paths.size(); i++) {
            Path target = below((String) paths.get(i));
            this.files.mkdirs(target.getParent());
            rename(below(from + "/" + paths.get(i)), target);
        }
    }

    /** Remove files or folders below this one; what is not there counts as removed. */
    public void remove(String joinedPaths) throws IOException {
        List paths = split(joinedPaths);
        for (int i = 0; i < paths.size(); i++) {
            this.files.delete(below((String) paths.get(i)), true);
        }
    }

    private void rename(Path source, Path target) throws IOException {
        if (!this.files.rename(source, target)) {
            throw new IOException(source + " could not be moved to " + target);
        }
    }

    private static List split(String joined) {
        return joined.isEmpty() ? new ArrayList() : Arrays.asList(joined.split("\0"));
    }

    private static String joined(List texts) {
        StringBuilder all = new StringBuilder();
        for (int i = 0; i < texts.size(); i++) {
            all.append(i == 0 ? "" : "\0").append((String) texts.get(i));
        }
        return all.toString();
    }

    private Path below(String path) {
        return new Path(this.root, new Path(null, null, path)); // not parsed: a colon in it is no scheme
    }

    /** One file's digest. */
    static final class Digest implements Callable {
        private final FileSystem files;
        private final Path path;

        Digest(FileSystem files, Path path) {
            this.files = files;
            this.path = path;
        }

        public Object call() throws IOException, NoSuchAlgorithmException {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[BUFFER_BYTES];
            InputStream in = this.files.open(this.path);
            try {
                int count = in.read(buffer);
                while (count >= 0) {
                    digest.update(buffer, 0, count);
                    count = in.read(buffer);
                }
            } finally {
                in.close();
            }
            return Base64.getEncoder().encodeToString(digest.digest());
        }
    }
}
