package strongroom.submit;

import java.io.FileWriter;
import java.io.IOException;
import java.io.PrintWriter;

/**
 * What a person sees of a thread that failed, a program's main among them: where in the program, and why. The whole
 * trace goes where STRONGROOM_SPARK_TRACES says: to a file, or for "-" to standard error.
 */
final class Failing implements Thread.UncaughtExceptionHandler {
    private static final String[] SPARKS = {"org.apache.spark.", "scala.", "java.", "javax.", "jdk.", "sun.", "py4j."};
    private static final int MAX_CHARS = 1000;

    public void uncaughtException(Thread thread, Throwable problem) {
        String traces = System.getenv("STRONGROOM_SPARK_TRACES");
        if ("-".equals(traces)) {
            problem.printStackTrace();
        } else if (traces != null) {
            append(traces, problem);
        }
        StackTraceElement[] places = problem.getStackTrace();
        StringBuffer said = new StringBuffer();
        for (int each = 0; each < places.length; each++) {
            if (isPrograms(places[each].getClassName())) {
                said.append("  at ").append(places[each]).append('\n');
            }
        }
        said.append("spark submit: ").append(sentence(problem)).append("\n  what to do: ");
        String where = traces == null ? "are printed with --verbose, or kept with --log-file FILE"
                : "are above, or in the log";
        said.append("Mend the program; whole traces ").append(where).append(".");
        System.err.println(said);
    }

    /** The first words of what began it. */
    private static String sentence(Throwable problem) {
        Throwable cause = problem;
        for (int depth = 0; depth < 50 && cause.getCause() != null; depth++) {
            cause = cause.getCause();
        }
        String line = cause.toString().split("\n")[0];
        return line.length() > MAX_CHARS ? line.substring(0, MAX_CHARS) : line;
    }

    private static boolean isPrograms(String name) {
        for (int each = 0; each < SPARKS.length; each++) {
            if (name.startsWith(SPARKS[each])) {
                return false;
            }
        }
        return !name.startsWith("strongroom.submit.");
    }

    private static void append(String file, Throwable problem) {
        try {
            PrintWriter writer = new PrintWriter(new FileWriter(file, true));
            try {
                problem.printStackTrace(writer);
            } finally {
                writer.close();
            }
        } catch (IOException failed) {
            System.err.println("spark submit: " + file + ": " + failed);
        }
    }
}
