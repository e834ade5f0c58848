import com.intel.analytics.bigdl.nn.Linear;
import com.intel.analytics.bigdl.nn.ReLU;
import com.intel.analytics.bigdl.nn.Sequential;
import com.intel.analytics.bigdl.nn.SoftMax;
import com.intel.analytics.bigdl.tensor.TensorNumericMath.TensorNumeric;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/** Writes a model that costs nearly nothing: Linear(4, 8), ReLU, Linear(8, 3), SoftMax. Argument: the file to write. */
@SuppressWarnings({"rawtypes", "unchecked"}) // generic in Scala over a primitive, which Java cannot say
public final class SmallModel {
    private static final ClassTag FLOAT = ClassTag$.MODULE$.Float();
    private static final TensorNumeric NUMERIC =
        com.intel.analytics.bigdl.tensor.TensorNumericMath$TensorNumeric$NumericFloat$.MODULE$;

    private SmallModel() {}

    public static void main(String[] arguments) {
        Sequential model = new Sequential(FLOAT, NUMERIC);
        model.add(linear(4, 8));
        model.add(new ReLU(false, FLOAT, NUMERIC));
        model.add(linear(8, 3));
        model.add(new SoftMax(1, FLOAT, NUMERIC));
        model.saveModule(arguments[0], null, true);
    }

    private static Linear linear(int inputs, int outputs) {
        return new Linear(inputs, outputs, true, null, null, null, null, null, null, FLOAT, NUMERIC);
    }
}
