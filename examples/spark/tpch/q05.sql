-- What suppliers in Asia sold to customers of their own nation in a year.
select n_name, sum(l_extendedprice * (1 - l_discount)) as revenue
from region
join nation on n_regionkey = r_regionkey
join supplier on s_nationkey = n_nationkey
join lineitem on l_suppkey = s_suppkey
join orders on o_orderkey = l_orderkey
join customer on c_custkey = o_custkey and c_nationkey = s_nationkey
where r_name = 'ASIA' and o_orderdate >= date '1994-01-01' and o_orderdate < date '1995-01-01'
group by n_name
order by revenue desc
