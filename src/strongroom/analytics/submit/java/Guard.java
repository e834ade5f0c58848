package strongroom.submit;

import java.util.Iterator;
import java.util.Properties;
import org.apache.spark.SparkConf;

/**
 * Lets no context begin whose settings are not those of the trusted session: a program can set them itself. Agent has
 * every SparkContext ask here, before it opens a port, writes a file or hands anybody a secret.
 */
public final class Guard {
    private static Properties kept = null;

    private Guard() {
    }

    /** Take what stays, once: before the program begins. */
    static synchronized void keep(Properties settings) {
        if (kept != null) {
            throw new SecurityException("SR-SPARK-SETTING: the settings of a trusted session are known already");
        }
        kept = settings;
    }

    /** Compares a context's settings with the file that the session wrote. */
    public static void check(SparkConf conf) {
        Iterator names = kept.stringPropertyNames().iterator();
        while (names.hasNext()) {
            String name = (String) names.next();
            String wanted = kept.getProperty(name);
            String found = conf.get(name, "");
            if (!wanted.equalsIgnoreCase(found.trim())) {
                refuse(name + ", which is " + wanted + " in a trusted session and stays so");
            }
        }
        scala.Tuple2[] all = conf.getAll();
        for (int each = 0; each < all.length; each++) {
            checkOther((String) all[each]._1(), (String) all[each]._2());
        }
    }

    /** What sparkjobs.redaction refuses of --conf, and a program could set as well. */
    private static void checkOther(String name, String value) {
        // TLS of a part (spark.ssl.ui.…) would stand above the one of all.
        boolean ours = kept.containsKey(name) || name.endsWith("Password") || name.endsWith(".port");
        if (name.startsWith("spark.ssl.") && !ours) {
            refuse(name + ", and TLS of a trusted session stays as it is");
        }
        if (name.equals("spark.plugins") && value.toLowerCase().contains("sparkconnect")) {
            refuse(name + ", which would open a server of Spark Connect, in clear and for everybody");
        }
    }

    private static void refuse(String what) {
        throw new SecurityException("SR-SPARK-SETTING: the program set " + what);
    }
}
