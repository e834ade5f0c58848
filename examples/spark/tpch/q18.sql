-- The hundred dearest orders of more than 300 pieces.
select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) as quantity
from orders
join customer on c_custkey = o_custkey
join lineitem on l_orderkey = o_orderkey
group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
having sum(l_quantity) > 300
order by o_totalprice desc, o_orderdate
limit 100
