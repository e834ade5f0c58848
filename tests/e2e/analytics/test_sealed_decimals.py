"""Decimals of encrypted data, which are stored and travel as whole numbers, are in a DataFrame what they were."""

from decimal import Decimal

import pytest

ROWS = """select cast('9999999999999.99' as decimal(15,2)) a, cast('-1e-18' as decimal(18,18)) `b c`,
                 cast('1e34' as decimal(38,3)) d, array(cast(1.5 as decimal(5,1)), null) e
          union all select -0.01, 0, null, null
          union all select null, null, 0.001, array()"""


def test_decimals_come_back_as_they_were(trusted_session, tmp_path):
    from strongroom.analytics import StrongroomContext

    with StrongroomContext(trusted_session.spark) as context:
        written = trusted_session.spark.sql(ROWS).coalesce(1)
        context.write(written, "sealed", "people").parquet(str(tmp_path / "data"))
        wanted = sorted(map(repr, written.collect()))
        for pushdown in (False, True):  # as numbers, and as decimals that filters are compared with
            reader = context.read("sealed", "people")
            if pushdown:
                reader.option("pushdown", pushdown)
            found = reader.parquet(str(tmp_path / "data"))
            assert found.dtypes == written.dtypes
            below = found.where("a < 0 and `b c` = 0")
            assert ("MakeDecimal" in below._jdf.queryExecution().toString()) is not pushdown
            assert [row.a for row in below.collect()] == [Decimal("-0.01")]
            if not pushdown:
                assert sorted(map(repr, found.collect())) == wanted


def test_spark_reads_the_decimals_that_pyarrow_encrypted(trusted_session, primary_keys, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="needs pip install 'strongroom[analytics]'")
    from strongroom.analytics import StrongroomContext
    from strongroom.analytics.keys.opening import open_keys
    from strongroom.analytics.parquet.arrow import write_dataset

    exact = [Decimal("-0.01"), None, Decimal("9.99")]
    table = pa.table({f"d{digits}": pa.array(exact, pa.decimal128(digits, 2)) for digits in (9, 18, 38)})
    write_dataset(table, tmp_path / "data", open_keys(f"file:{primary_keys}"), "people")
    with StrongroomContext(trusted_session.spark) as context:
        found = context.read("AES_GCM_V1", "people").parquet(str(tmp_path / "data"))
        assert [kind for _, kind in found.dtypes] == ["decimal(9,2)", "decimal(18,2)", "decimal(38,2)"]
        assert [tuple(row) for row in found.collect()] == [(each,) * 3 for each in exact]
