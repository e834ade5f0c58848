package strongroom.submit;

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;
import org.apache.xbean.asm9.ClassReader;
import org.apache.xbean.asm9.ClassWriter;

/**
 * Has Spark ask Guard before anything of a context is there, whatever the program says: a context's settings can name
 * listeners, plugins and filters, or take them away, but not what its constructor does. Java loads this before main,
 * and the settings that stay are read then.
 */
public final class Agent implements ClassFileTransformer {
    private Agent() {
    }

    /** Java's entry: the argument is the session's folder. */
    public static void premain(String folder, Instrumentation java) {
        try {
            Guard.keep(Session.load(folder));
        } catch (Throwable problem) { // Java would crash, and write down what is in its memory
            end("the session cannot be read: " + problem);
        }
        java.addTransformer(new Agent());
        Thread.setDefaultUncaughtExceptionHandler(new Failing());
    }

    /** Adds the question to both places where a context takes its settings: the program's, and its own copy. */
    public byte[] transform(ClassLoader loader, String name, Class seen, ProtectionDomain domain, byte[] code) {
        String method = "org/apache/spark/SparkContext".equals(name) ? "<init>"
                : "org/apache/spark/SparkEnv$".equals(name) ? "createDriverEnv" : null;
        if (method == null) {
            return null;
        }
        try {
            ClassReader reader = new ClassReader(code);
            ClassWriter writer = new ClassWriter(reader, ClassWriter.COMPUTE_MAXS);
            Asking asking = new Asking(writer, method);
            reader.accept(asking, 0);
            if (asking.found() == 0) {
                throw new IllegalStateException("it has no such method");
            }
            return writer.toByteArray();
        } catch (Throwable problem) { // Java would go on with the class as it was
            end(name + "." + method + " cannot be guarded: " + problem);
            return null;
        }
    }

    private static void end(String why) {
        System.err.println("SR-SPARK-DRIVER: " + why);
        Runtime.getRuntime().halt(3);
    }
}
