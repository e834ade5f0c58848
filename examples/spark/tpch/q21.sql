-- Saudi suppliers who alone kept orders of several suppliers waiting.
with lines as (
  select
    l_orderkey,
    count(distinct l_suppkey) as suppliers,
    count(distinct case when l_receiptdate > l_commitdate then l_suppkey end) as late
  from lineitem
  group by l_orderkey
)
select s_name, count(*) as numwait
from lineitem
join lines on lines.l_orderkey = lineitem.l_orderkey and suppliers > 1 and late = 1
join orders on o_orderkey = lineitem.l_orderkey and o_orderstatus = 'F'
join supplier on s_suppkey = l_suppkey
join nation on n_nationkey = s_nationkey and n_name = 'SAUDI ARABIA'
where l_receiptdate > l_commitdate
group by s_name
order by numwait desc, s_name
limit 100
