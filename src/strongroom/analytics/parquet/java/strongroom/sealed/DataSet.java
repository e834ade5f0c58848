package strongroom.sealed;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.apache.hadoop.conf.Configuration;

/**
 * A data set as the driver found it, whose manifest it checked: names, sizes and pins from a reader's options.
 *
 * They are one text, which all tasks of a scan share, and which is read once in each JVM.
 */
final class DataSet {
    static final String NAME = "strongroom.sealed.name";
    static final String ADDRESS = "strongroom.sealed.address";
    static final String FILES = "strongroom.sealed.files";
    static final String KEY_ID = "strongroom.sealed.keyid";
    static final String WRAPPED = "strongroom.sealed.wrapped";
    private static final int KNOWN = 16;
    private static final LinkedHashMap LISTS = new LinkedHashMap(16, 0.75f, true); // text -> Map of path -> Entry

    final String name;
    final String address;
    final String keyId;
    final String wrapped;
    private final Map files;

    private DataSet(Configuration configuration, Map files) throws IOException {
        this.name = raw(configuration, NAME);
        this.address = raw(configuration, ADDRESS);
        this.keyId = raw(configuration, KEY_ID);
        this.wrapped = raw(configuration, WRAPPED);
        this.files = files;
    }

    static DataSet of(Configuration configuration) throws IOException {
        return new DataSet(configuration, listed(raw(configuration, FILES)));
    }

    /** Return an entry, null where there is no such file. */
    Entry file(String path) {
        return (Entry) this.files.get(path);
    }

    List files() {
        return new ArrayList(this.files.values());
    }

    private static Map listed(String text) throws IOException {
        synchronized (LISTS) {
            Map known = (Map) LISTS.get(text);
            if (known != null) {
                return known;
            }
            Map found = new LinkedHashMap();
            String[] lines = text.split("\n", -1);
            for (int i = 0; i < lines.length; i++) {
                Entry entry = Entry.parse(lines[i]);
                found.put(entry.path, entry);
            }
            LISTS.put(text, found);
            if (LISTS.size() > KNOWN) {
                Iterator oldest = LISTS.keySet().iterator();
                oldest.next();
                oldest.remove();
            }
            return found;
        }
    }

    private static String raw(Configuration configuration, String name) throws IOException {
        String found = configuration.getRaw(name); // not expanded: a path may have ${ in it
        if (found == null || found.isEmpty()) {
            throw new IOException("a sealed data set is read by StrongroomContext, which says " + name);
        }
        return found;
    }
}
