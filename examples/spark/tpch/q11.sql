-- Parts that make up more than a ten-thousandth of the value of all stock in Germany.
with stock as (
  select ps_partkey, sum(ps_supplycost * ps_availqty) as value
  from partsupp
  join supplier on s_suppkey = ps_suppkey
  join nation on n_nationkey = s_nationkey
  where n_name = 'GERMANY'
  group by ps_partkey
)
select ps_partkey, value
from stock
where value > (select sum(value) * 0.0001 from stock)
order by value desc
