package strongroom.submit;

import org.apache.spark.SparkConf;
import org.apache.spark.scheduler.SparkListener;

/**
 * Ends a context at its start whose settings are not those of the trusted session: a program can set them itself.
 * Spark makes one of every class in spark.extraListeners before the first job, in the driver alone.
 */
public final class Guard extends SparkListener {
    /** Compares what is in force with the file that the session wrote. */
    public Guard(SparkConf conf) throws Exception {
        java.util.Properties kept = Session.load(System.getProperty("spark.strongroom.folder"));
        java.util.Iterator names = kept.stringPropertyNames().iterator();
        while (names.hasNext()) {
            String name = (String) names.next();
            String wanted = kept.getProperty(name);
            String found = conf.get(name, "");
            if (!wanted.equalsIgnoreCase(found.trim())) {
                throw new SecurityException("SR-SPARK-SETTING: the program set " + name
                        + ", which is " + wanted + " in a trusted session and stays so");
            }
        }
        // TLS of a part (spark.ssl.ui.…) would stand above the one of all.
        scala.Tuple2[] all = conf.getAll();
        for (int each = 0; each < all.length; each++) {
            String name = (String) all[each]._1();
            boolean ours = kept.containsKey(name) || name.endsWith("Password") || name.endsWith(".port");
            if (!kept.isEmpty() && name.startsWith("spark.ssl.") && !ours) {
                throw new SecurityException("SR-SPARK-SETTING: the program set " + name
                        + ", and TLS of a trusted session stays as it is");
            }
        }
    }
}
