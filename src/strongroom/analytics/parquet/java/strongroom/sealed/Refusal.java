package strongroom.sealed;

import java.io.IOException;

/** A sealed file is not what was committed. Codes are those of the same refusals in Python (strongroom explain). */
public final class Refusal extends IOException {
    private static final long serialVersionUID = 1L;

    public Refusal(String code, String path, String sentence) {
        super(code + ": " + path + ": " + sentence);
    }
}
