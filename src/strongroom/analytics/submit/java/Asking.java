package strongroom.submit;

import org.apache.xbean.asm9.ClassVisitor;
import org.apache.xbean.asm9.MethodVisitor;
import org.apache.xbean.asm9.Opcodes;

/** A class whose methods of one name begin with Guard.check(conf), where a SparkConf is their first argument. */
final class Asking extends ClassVisitor {
    private static final String CONF = "(Lorg/apache/spark/SparkConf;";
    private final String method;
    private int found = 0;

    Asking(ClassVisitor next, String method) {
        super(Opcodes.ASM9, next);
        this.method = method;
    }

    int found() {
        return this.found;
    }

    /** The one argument is passed on before the constructor calls its parent's, which Java allows. */
    public MethodVisitor visitMethod(int access, String name, String form, String signature, String[] thrown) {
        MethodVisitor next = super.visitMethod(access, name, form, signature, thrown);
        if (!name.equals(this.method) || !form.startsWith(CONF)) {
            return next;
        }
        this.found++;
        return new MethodVisitor(Opcodes.ASM9, next) {
            public void visitCode() {
                super.visitCode();
                super.visitVarInsn(Opcodes.ALOAD, 1);
                super.visitMethodInsn(Opcodes.INVOKESTATIC, "strongroom/submit/Guard", "check", CONF + ")V", false);
            }
        };
    }
}
