-- Profit on green parts, by the supplier's nation and year.
with profits as (
  select
    n_name as nation,
    year(o_orderdate) as o_year,
    l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity as profit
  from part
  join lineitem on l_partkey = p_partkey
  join partsupp on ps_partkey = l_partkey and ps_suppkey = l_suppkey
  join supplier on s_suppkey = l_suppkey
  join nation on n_nationkey = s_nationkey
  join orders on o_orderkey = l_orderkey
  where p_name like '%green%'
)
select nation, o_year, sum(profit) as sum_profit
from profits
group by nation, o_year
order by nation, o_year desc
