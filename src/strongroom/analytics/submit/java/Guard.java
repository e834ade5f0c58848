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
    }
}
