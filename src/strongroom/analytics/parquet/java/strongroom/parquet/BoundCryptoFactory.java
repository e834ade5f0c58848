package strongroom.parquet;

import java.nio.charset.StandardCharsets;
import java.util.Map;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.parquet.crypto.FileDecryptionProperties;
import org.apache.parquet.crypto.FileEncryptionProperties;
import org.apache.parquet.crypto.ParquetCipher;
import org.apache.parquet.crypto.ParquetCryptoRuntimeException;
import org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory;
import org.apache.parquet.hadoop.api.WriteSupport;

/**
 * Parquet's own factory of keys, but every file is bound to its name, and no file in clear is written or read.
 *
 * Parquet authenticates what is in a file, not which file it is. The name, in which Spark has an id of the job that
 * wrote it, is the AAD prefix here ("Parquet Modular Encryption" 4.4.1): a file that was put in place of another one
 * does not open, whenever that was done. The prefix is stored, so that readers who know nothing of this open it too.
 * Files called arrow-* have no prefix: pyarrow offers none.
 */
public final class BoundCryptoFactory extends PropertiesDrivenCryptoFactory {
    static final String UNBOUND = "arrow-";
    static final String PREFIX = "strongroom/file/1/";

    public FileEncryptionProperties getFileEncryptionProperties(
            Configuration configuration, Path path, WriteSupport.WriteContext context) {
        FileEncryptionProperties usual = super.getFileEncryptionProperties(configuration, path, context);
        if (usual == null) {
            throw new ParquetCryptoRuntimeException("no key is named for " + path.getName()
                + ", which would be written in clear");
        }
        String algorithm = configuration.get(ENCRYPTION_ALGORITHM_PROPERTY_NAME, ENCRYPTION_ALGORITHM_DEFAULT);
        FileEncryptionProperties.Builder bound = FileEncryptionProperties.builder(usual.getFooterKey())
            .withFooterKeyMetadata(usual.getFooterKeyMetadata())
            .withAlgorithm(ParquetCipher.valueOf(algorithm))
            .withAADPrefix(prefix(path));
        Map columns = usual.getEncryptedColumns();
        if (columns != null && !columns.isEmpty()) {
            bound.withEncryptedColumns(columns).withCompleteColumnEncryption();
        }
        return bound.build();
    }

    public FileDecryptionProperties getFileDecryptionProperties(Configuration configuration, Path path) {
        FileDecryptionProperties usual = super.getFileDecryptionProperties(configuration, path);
        FileDecryptionProperties.Builder bound = FileDecryptionProperties.builder()
            .withKeyRetriever(usual.getKeyRetriever());
        if (!path.getName().startsWith(UNBOUND)) {
            bound.withAADPrefix(prefix(path));
        }
        return bound.build();
    }

    private static byte[] prefix(Path path) {
        return (PREFIX + path.getName()).getBytes(StandardCharsets.UTF_8);
    }
}
