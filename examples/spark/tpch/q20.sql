-- Suppliers in Canada with more forest parts in stock than half of what they shipped in a year.
with shipped as (
  select l_partkey, l_suppkey, 0.5 * sum(l_quantity) as half
  from lineitem
  where l_shipdate >= date '1994-01-01' and l_shipdate < date '1995-01-01'
  group by l_partkey, l_suppkey
),
stocked as (
  select distinct ps_suppkey
  from partsupp
  join part on p_partkey = ps_partkey and p_name like 'forest%'
  join shipped on l_partkey = ps_partkey and l_suppkey = ps_suppkey
  where ps_availqty > half
)
select s_name, s_address
from stocked
join supplier on s_suppkey = ps_suppkey
join nation on n_nationkey = s_nationkey
where n_name = 'CANADA'
order by s_name
