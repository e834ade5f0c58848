-- Brazil's share of what America bought of one type of steel, by year.
with sold as (
  select year(o_orderdate) as o_year, l_extendedprice * (1 - l_discount) as volume, origin.n_name = 'BRAZIL' as brazilian
  from part
  join lineitem on l_partkey = p_partkey
  join supplier on s_suppkey = l_suppkey
  join nation as origin on origin.n_nationkey = s_nationkey
  join orders on o_orderkey = l_orderkey
  join customer on c_custkey = o_custkey
  join nation as home on home.n_nationkey = c_nationkey
  join region on r_regionkey = home.n_regionkey
  where r_name = 'AMERICA'
    and o_orderdate between date '1995-01-01' and date '1996-12-31'
    and p_type = 'ECONOMY ANODIZED STEEL'
)
select o_year, sum(case when brazilian then volume else 0 end) / sum(volume) as mkt_share
from sold
group by o_year
order by o_year
