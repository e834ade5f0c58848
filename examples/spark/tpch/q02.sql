-- Who in Europe supplies brass parts of size 15 at the least cost.
with offers as (
  select p_partkey, p_mfgr, ps_supplycost, s_acctbal, s_name, s_address, s_phone, s_comment, n_name
  from part
  join partsupp on ps_partkey = p_partkey
  join supplier on s_suppkey = ps_suppkey
  join nation on n_nationkey = s_nationkey
  join region on r_regionkey = n_regionkey
  where p_size = 15 and p_type like '%BRASS' and r_name = 'EUROPE'
),
ranked as (
  select offers.*, rank() over (partition by p_partkey order by ps_supplycost) as place
  from offers
)
select s_acctbal, s_name, n_name, p_partkey, p_mfgr, s_address, s_phone, s_comment
from ranked
where place = 1
order by s_acctbal desc, n_name, s_name, p_partkey
limit 100
