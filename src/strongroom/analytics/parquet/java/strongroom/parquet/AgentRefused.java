package strongroom.parquet;

import java.io.IOException;

/** The key agent said no: its code is one of Strongroom's (strongroom explain CODE). */
public final class AgentRefused extends IOException {
    private static final long serialVersionUID = 1L;

    public AgentRefused(String code, String sentence) {
        super(code + ": " + sentence);
    }
}
