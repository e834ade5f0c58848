-- What would be lost in a year if small orders of one kind of part were no longer taken.
with chosen as (
  select p_partkey, l_quantity, l_extendedprice, avg(l_quantity) over (partition by p_partkey) as usual
  from part
  join lineitem on l_partkey = p_partkey
  where p_brand = 'Brand#23' and p_container = 'MED BOX'
)
select sum(l_extendedprice) / 7.0 as avg_yearly
from chosen
where l_quantity < 0.2 * usual
