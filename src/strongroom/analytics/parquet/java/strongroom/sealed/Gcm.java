package strongroom.sealed;

import java.security.GeneralSecurityException;

import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** AES-128-GCM as sealed files use it: IV zero, no AAD, a key for each node; and the CMAC that makes node 0's key. */
final class Gcm {
    private static final byte[] ZERO_IV = new byte[12]; // safe only because no key ever seals two things
    private static final int BLOCK_BYTES = 16;

    private final Cipher cipher;
    private final GCMParameterSpec parameters = new GCMParameterSpec(8 * Layout.TAG_BYTES, ZERO_IV);

    Gcm() throws GeneralSecurityException {
        this.cipher = Cipher.getInstance("AES/GCM/NoPadding");
    }

    /** Decrypt `count` bytes and the tag behind them; return whether the tag holds. If not, nothing is left in `to`. */
    boolean open(byte[] keys, int keyAt, byte[] sealed, int at, int count, byte[] to, int toAt)
            throws GeneralSecurityException {
        this.cipher.init(Cipher.DECRYPT_MODE, new SecretKeySpec(keys, keyAt, Layout.KEY_BYTES, "AES"), this.parameters);
        try {
            this.cipher.doFinal(sealed, at, count + Layout.TAG_BYTES, to, toAt);
            return true;
        } catch (AEADBadTagException bad) {
            java.util.Arrays.fill(to, toAt, toAt + count, (byte) 0);
            return false;
        }
    }

    /** Return AES-CMAC (RFC 4493) of a message whose last block is not whole. */
    static byte[] cmac(byte[] key, byte[] message) throws GeneralSecurityException {
        Cipher aes = Cipher.getInstance("AES/ECB/NoPadding");
        aes.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"));
        byte[] mask = doubled(doubled(aes.doFinal(new byte[BLOCK_BYTES]))); // K2: for messages that are padded
        byte[] state = new byte[BLOCK_BYTES];
        int at = 0;
        while (message.length - at >= BLOCK_BYTES) {
            for (int i = 0; i < BLOCK_BYTES; i++) {
                state[i] ^= message[at + i];
            }
            state = aes.doFinal(state);
            at += BLOCK_BYTES;
        }
        if (at == message.length) {
            throw new IllegalArgumentException("the last block is whole");
        }
        for (int i = 0; at + i < message.length; i++) {
            state[i] ^= message[at + i];
        }
        state[message.length - at] ^= (byte) 0x80;
        for (int i = 0; i < BLOCK_BYTES; i++) {
            state[i] ^= mask[i];
        }
        java.util.Arrays.fill(mask, (byte) 0);
        return aes.doFinal(state);
    }

    private static byte[] doubled(byte[] block) {
        byte[] found = new byte[BLOCK_BYTES];
        int carry = 0;
        for (int i = BLOCK_BYTES - 1; i >= 0; i--) {
            int bits = (block[i] & 0xff) << 1 | carry;
            found[i] = (byte) bits;
            carry = bits >> 8 & 1;
        }
        found[BLOCK_BYTES - 1] ^= (byte) (0x87 * carry);
        java.util.Arrays.fill(block, (byte) 0);
        return found;
    }
}
