package lab;

import java.io.IOException;
import java.io.OutputStream;

/** A byte sequence both sides can compute: byte i is (i * 31 + (i >> 8)) & 0xff. */
final class Pattern {
    private static final int PIECE = 16 * 1024;

    private Pattern() {}

    /** Writes the first n bytes in pieces of 16 KiB. */
    static void write(OutputStream out, long n) throws IOException {
        byte[] piece = new byte[PIECE];
        for (long start = 0; start < n; start += PIECE) {
            int length = (int) Math.min(PIECE, n - start);
            for (int i = 0; i < length; i++) {
                long at = start + i;
                piece[i] = (byte) (at * 31 + (at >> 8));
            }
            out.write(piece, 0, length);
        }
    }
}
