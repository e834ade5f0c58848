package strongroom.examples;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.function.Function;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.sql.SparkSession;

/**
 * Estimate Pi on the JVM. Usage: SparkPi [PARTITIONS] [SEED] [POINTS_PER_PARTITION]
 *
 * Without type arguments at Spark's interfaces: the compiler in Spark's own jars makes no bridge methods for them.
 */
public final class SparkPi {
    private SparkPi() {}

    /** Counts the points of one partition that fall into the circle. */
    public static final class Inside implements Function {
        private final long seed;
        private final int points;

        public Inside(long seed, int points) {
            this.seed = seed;
            this.points = points;
        }

        public Object call(Object partition) {
            Random dice = new Random(seed * 1000003L + ((Integer) partition).intValue());
            long hits = 0;
            for (int point = 0; point < points; point++) {
                double x = dice.nextDouble();
                double y = dice.nextDouble();
                if (x * x + y * y <= 1) hits++;
            }
            return Long.valueOf(hits);
        }
    }

    /** Adds the counts of two partitions. */
    public static final class Sum implements Function2 {
        public Object call(Object left, Object right) {
            return Long.valueOf(((Long) left).longValue() + ((Long) right).longValue());
        }
    }

    public static void main(String[] arguments) {
        int partitions = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 4;
        long seed = arguments.length > 1 ? Long.parseLong(arguments[1]) : 0L;
        int points = arguments.length > 2 ? Integer.parseInt(arguments[2]) : 1000000;
        SparkSession spark = SparkSession.builder().appName("Pi").getOrCreate();
        List numbers = new ArrayList();
        for (int number = 0; number < partitions; number++) numbers.add(Integer.valueOf(number));
        JavaSparkContext context = new JavaSparkContext(spark.sparkContext());
        Long hits = (Long) context.parallelize(numbers, partitions).map(new Inside(seed, points)).reduce(new Sum());
        System.out.println("Pi is roughly " + 4.0 * hits.longValue() / ((double) partitions * points));
        spark.stop();
    }
}
