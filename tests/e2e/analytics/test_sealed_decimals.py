"""Decimals of encrypted data, which are stored and travel as whole numbers, are in a DataFrame what they were."""

from decimal import Context, Decimal

import pytest

ROWS = """select cast('9999999999999.99' as decimal(15,2)) a, cast('-1e-18' as decimal(18,18)) `b c`,
                 cast('1e34' as decimal(38,3)) d, array(cast(1.5 as decimal(5,1)), null) e
          union all select -0.01, 0, null, null
          union all select null, null, 0.001, array()"""
WANTED = [
    (Decimal("9999999999999.99"), Decimal("-1E-18"), Decimal("1E+34").quantize(Decimal("1.000"), context=Context(40)),
     [Decimal("1.5"), None], False),
    (Decimal("-0.01"), Decimal("0E-18"), None, None, True),
    (None, None, Decimal("0.001"), [], None),
]  # fmt: skip


def test_decimals_come_back_as_they_were(trusted_session, tmp_path):
    from strongroom.analytics import StrongroomContext

    with StrongroomContext(trusted_session.spark) as context:
        written = trusted_session.spark.sql(ROWS).coalesce(1)
        context.write(written, "sealed", "people").parquet(str(tmp_path / "data"))
        found = context.read("sealed", "people").option("partitioning", "files").parquet(str(tmp_path / "data"))
        compared = context.read("sealed", "people").option("pushdown", True).parquet(str(tmp_path / "data"))
        assert found.dtypes == compared.dtypes == written.dtypes
        assert "MakeDecimal" in found._jdf.queryExecution().analyzed().toString()
        assert "MakeDecimal" not in compared._jdf.queryExecution().analyzed().toString()  # workers compare decimals
        rows = {tuple(map(repr, row)) for row in found.selectExpr("*", "a < 0 and `b c` = 0 below").collect()}
        assert rows == {tuple(map(repr, row)) for row in WANTED}


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
