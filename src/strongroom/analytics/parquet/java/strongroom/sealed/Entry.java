package strongroom.sealed;

import java.io.IOException;

/** One file of a data set, as its manifest has it; the plaintext's size is from the file's own node 0. */
final class Entry {
    static final String CHANGED = "SR-DATA-FILES";
    static final int PIN_BYTES = 32;
    private static final String DIGITS = "0123456789abcdef";

    final String path;
    final long size;
    final long plainSize;
    final byte[] pin;

    private Entry(String path, long size, long plainSize, byte[] pin) {
        this.path = path;
        this.size = size;
        this.plainSize = plainSize;
        this.pin = pin;
    }

    /** Read "SIZE PLAIN-SIZE PIN PATH". */
    static Entry parse(String line) throws IOException {
        String[] words = line.split(" ", 4);
        if (words.length != 4 || words[2].length() != 2 * PIN_BYTES || words[3].isEmpty()) {
            throw new IOException("a sealed file is given by sizes, pin and path");
        }
        byte[] pin = new byte[PIN_BYTES];
        for (int i = 0; i < PIN_BYTES; i++) {
            int high = DIGITS.indexOf(words[2].charAt(2 * i));
            int low = DIGITS.indexOf(words[2].charAt(2 * i + 1));
            if (high < 0 || low < 0) {
                throw new IOException("a sealed file's pin is in lower-case hexadecimal digits");
            }
            pin[i] = (byte) (high << 4 | low);
        }
        try {
            return new Entry(words[3], Long.parseLong(words[0]), Long.parseLong(words[1]), pin);
        } catch (NumberFormatException problem) {
            throw new IOException("a sealed file's sizes are numbers");
        }
    }

    Refusal other() {
        return new Refusal(CHANGED, this.path, "it is not the file that was written, or an older one");
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < bytes.length; i++) {
            text.append(DIGITS.charAt(bytes[i] >> 4 & 15)).append(DIGITS.charAt(bytes[i] & 15));
        }
        return text.toString();
    }
}
