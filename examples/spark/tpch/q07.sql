-- Goods that went between France and Germany, by year.
with shipped as (
  select
    sold.n_name as supp_nation,
    bought.n_name as cust_nation,
    year(l_shipdate) as l_year,
    l_extendedprice * (1 - l_discount) as volume
  from lineitem
  join supplier on s_suppkey = l_suppkey
  join nation as sold on sold.n_nationkey = s_nationkey
  join orders on o_orderkey = l_orderkey
  join customer on c_custkey = o_custkey
  join nation as bought on bought.n_nationkey = c_nationkey
  where l_shipdate between date '1995-01-01' and date '1996-12-31'
    and sold.n_name in ('FRANCE', 'GERMANY')
    and bought.n_name in ('FRANCE', 'GERMANY')
    and sold.n_name <> bought.n_name
)
select supp_nation, cust_nation, l_year, sum(volume) as revenue
from shipped
group by supp_nation, cust_nation, l_year
order by supp_nation, cust_nation, l_year
