-- Customers of seven countries with money and without orders.
with people as (
  select substring(c_phone, 1, 2) as cntrycode, c_custkey, c_acctbal
  from customer
  where substring(c_phone, 1, 2) in ('13', '31', '23', '29', '30', '18', '17')
)
select cntrycode, count(*) as numcust, sum(c_acctbal) as totacctbal
from people
anti join orders on o_custkey = c_custkey
where c_acctbal > (select avg(c_acctbal) from people where c_acctbal > 0.00)
group by cntrycode
order by cntrycode
