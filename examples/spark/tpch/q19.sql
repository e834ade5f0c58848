-- Revenue of three brands, each in the containers, sizes and quantities asked about, delivered by hand from the air.
with wanted as (
  select 'Brand#12' as brand, 'SM' as size, 'CASE' as other, 1 as least, 5 as largest
  union all
  select 'Brand#23', 'MED', 'BAG', 10, 10
  union all
  select 'Brand#34', 'LG', 'CASE', 20, 15
)
select sum(l_extendedprice * (1 - l_discount)) as revenue
from lineitem
join part on p_partkey = l_partkey
join wanted on brand = p_brand and l_quantity between least and least + 10 and p_size between 1 and largest
where l_shipmode in ('AIR', 'AIR REG')
  and l_shipinstruct = 'DELIVER IN PERSON'
  and p_container in (size || ' BOX', size || ' PACK', size || ' PKG', size || ' ' || other)
