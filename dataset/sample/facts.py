"""The plain facts of the sample world, each in English and Chinese. Tables only: nothing here is computed.

Every word on the left of a table is there once, so that a question about it has one answer.
"""


def table(text: str) -> list[tuple[str, ...]]:
    """The rows of a table: entries separated by `;` or line ends, columns by `|`."""
    entries = text.replace("\n", ";").split(";")
    return [tuple(cell.strip() for cell in entry.split("|")) for entry in entries if entry.strip()]


# country | capital | country | capital
COUNTRIES = table("""
France|Paris|法国|巴黎; Germany|Berlin|德国|柏林; Italy|Rome|意大利|罗马; Spain|Madrid|西班牙|马德里
Portugal|Lisbon|葡萄牙|里斯本; Greece|Athens|希腊|雅典; Austria|Vienna|奥地利|维也纳
Hungary|Budapest|匈牙利|布达佩斯; Poland|Warsaw|波兰|华沙; Sweden|Stockholm|瑞典|斯德哥尔摩
Norway|Oslo|挪威|奥斯陆; Finland|Helsinki|芬兰|赫尔辛基; Denmark|Copenhagen|丹麦|哥本哈根
Iceland|Reykjavik|冰岛|雷克雅未克; Ireland|Dublin|爱尔兰|都柏林; Belgium|Brussels|比利时|布鲁塞尔
Russia|Moscow|俄罗斯|莫斯科; Ukraine|Kyiv|乌克兰|基辅; Romania|Bucharest|罗马尼亚|布加勒斯特
Bulgaria|Sofia|保加利亚|索非亚; Serbia|Belgrade|塞尔维亚|贝尔格莱德; Croatia|Zagreb|克罗地亚|萨格勒布
Slovenia|Ljubljana|斯洛文尼亚|卢布尔雅那; Slovakia|Bratislava|斯洛伐克|布拉迪斯拉发
Albania|Tirana|阿尔巴尼亚|地拉那; Estonia|Tallinn|爱沙尼亚|塔林; Latvia|Riga|拉脱维亚|里加
Lithuania|Vilnius|立陶宛|维尔纽斯; Malta|Valletta|马耳他|瓦莱塔; Cyprus|Nicosia|塞浦路斯|尼科西亚
Turkey|Ankara|土耳其|安卡拉; Britain|London|英国|伦敦; Switzerland|Bern|瑞士|伯尔尼; Egypt|Cairo|埃及|开罗
Morocco|Rabat|摩洛哥|拉巴特; Algeria|Algiers|阿尔及利亚|阿尔及尔; Libya|Tripoli|利比亚|的黎波里
Sudan|Khartoum|苏丹|喀土穆; Kenya|Nairobi|肯尼亚|内罗毕; Uganda|Kampala|乌干达|坎帕拉
Rwanda|Kigali|卢旺达|基加利; Ghana|Accra|加纳|阿克拉; Nigeria|Abuja|尼日利亚|阿布贾
Senegal|Dakar|塞内加尔|达喀尔; Mali|Bamako|马里|巴马科; Angola|Luanda|安哥拉|罗安达; Zambia|Lusaka|赞比亚|卢萨卡
Zimbabwe|Harare|津巴布韦|哈拉雷; Namibia|Windhoek|纳米比亚|温得和克; Botswana|Gaborone|博茨瓦纳|哈博罗内
Mozambique|Maputo|莫桑比克|马普托; Somalia|Mogadishu|索马里|摩加迪沙
Ethiopia|Addis Ababa|埃塞俄比亚|亚的斯亚贝巴; China|Beijing|中国|北京; Japan|Tokyo|日本|东京
Thailand|Bangkok|泰国|曼谷; Vietnam|Hanoi|越南|河内; Laos|Vientiane|老挝|万象; Cambodia|Phnom Penh|柬埔寨|金边
Malaysia|Kuala Lumpur|马来西亚|吉隆坡; India|New Delhi|印度|新德里; Nepal|Kathmandu|尼泊尔|加德满都
Bhutan|Thimphu|不丹|廷布; Bangladesh|Dhaka|孟加拉国|达卡; Pakistan|Islamabad|巴基斯坦|伊斯兰堡
Afghanistan|Kabul|阿富汗|喀布尔; Iran|Tehran|伊朗|德黑兰; Iraq|Baghdad|伊拉克|巴格达
Syria|Damascus|叙利亚|大马士革; Lebanon|Beirut|黎巴嫩|贝鲁特; Jordan|Amman|约旦|安曼
Saudi Arabia|Riyadh|沙特阿拉伯|利雅得; Oman|Muscat|阿曼|马斯喀特; Qatar|Doha|卡塔尔|多哈
Mongolia|Ulaanbaatar|蒙古|乌兰巴托; South Korea|Seoul|韩国|首尔; North Korea|Pyongyang|朝鲜|平壤
Uzbekistan|Tashkent|乌兹别克斯坦|塔什干; Armenia|Yerevan|亚美尼亚|埃里温; Georgia|Tbilisi|格鲁吉亚|第比利斯
Azerbaijan|Baku|阿塞拜疆|巴库; Canada|Ottawa|加拿大|渥太华; Cuba|Havana|古巴|哈瓦那
Jamaica|Kingston|牙买加|金斯敦; Haiti|Port-au-Prince|海地|太子港; Costa Rica|San Jose|哥斯达黎加|圣何塞
Nicaragua|Managua|尼加拉瓜|马那瓜; Honduras|Tegucigalpa|洪都拉斯|特古西加尔巴; Colombia|Bogota|哥伦比亚|波哥大
Venezuela|Caracas|委内瑞拉|加拉加斯; Ecuador|Quito|厄瓜多尔|基多; Peru|Lima|秘鲁|利马
Brazil|Brasilia|巴西|巴西利亚; Argentina|Buenos Aires|阿根廷|布宜诺斯艾利斯; Chile|Santiago|智利|圣地亚哥
Uruguay|Montevideo|乌拉圭|蒙得维的亚; Paraguay|Asuncion|巴拉圭|亚松森; Australia|Canberra|澳大利亚|堪培拉
New Zealand|Wellington|新西兰|惠灵顿; Fiji|Suva|斐济|苏瓦
""")

# animal | its sound | animal | its call
SOUNDS = table("""
dog|bark|狗|汪汪; cat|meow|猫|喵喵; cow|moo|牛|哞哞; horse|neigh|马|咴咴; sheep|bleat|绵羊|咩咩
pig|oink|猪|哼哼; duck|quack|鸭子|嘎嘎; goose|honk|鹅|昂昂; hen|cluck|母鸡|咯咯; rooster|crow|公鸡|喔喔
donkey|bray|驴|嗯啊; wolf|howl|狼|嗷呜; lion|roar|狮子|吼吼; frog|croak|青蛙|呱呱; bee|buzz|蜜蜂|嗡嗡
mouse|squeak|老鼠|吱吱; snake|hiss|蛇|嘶嘶; owl|hoot|猫头鹰|呜呜; pigeon|coo|鸽子|咕咕
raven|caw|乌鸦|哑哑; sparrow|chirp|麻雀|叽喳; elephant|trumpet|大象|呜昂; bear|growl|熊|呼噜
monkey|chatter|猴子|唧唧; cricket|chirr|蟋蟀|瞿瞿; turkey|gobble|火鸡|咯噜; swan|whoop|天鹅|咕嘎
parrot|squawk|鹦鹉|你好; cuckoo|call|杜鹃|布谷; cicada|drone|蝉|知了; magpie|cackle|喜鹊|喳喳
camel|grunt|骆驼|嘟噜; deer|bellow|鹿|呦呦; swallow|twitter|燕子|啾啾
""")

# animal | its young | animal | its young
YOUNG = table("""
dog|puppy|狗|狗崽; cat|kitten|猫|猫仔; cow|calf|牛|牛犊; horse|foal|马|马驹; sheep|lamb|绵羊|羊羔
pig|piglet|猪|猪崽; duck|duckling|鸭子|小鸭; goose|gosling|鹅|雏鹅; hen|chick|母鸡|小鸡; wolf|pup|狼|狼崽
lion|cub|狮子|幼狮; frog|tadpole|青蛙|蝌蚪; bee|grub|蜜蜂|幼蜂; mouse|pinkie|老鼠|鼠崽; snake|snakelet|蛇|幼蛇
owl|owlet|猫头鹰|雏枭; pigeon|squab|鸽子|乳鸽; swan|cygnet|天鹅|雏天鹅; deer|fawn|鹿|小鹿; goat|kid|山羊|山羊羔
rabbit|bunny|兔子|小兔; eagle|eaglet|鹰|雏鹰; butterfly|caterpillar|蝴蝶|毛毛虫; kangaroo|joey|袋鼠|小袋鼠
hare|leveret|野兔|野兔崽; turkey|poult|火鸡|火鸡雏; fly|maggot|苍蝇|蛆; mosquito|wriggler|蚊子|孑孓
silk moth|silkworm|蚕蛾|蚕; eel|elver|鳗鱼|鳗苗; salmon|fry|鲑鱼|鲑苗; fox|kit|狐狸|狐崽; tiger|cub|老虎|虎崽
elephant|calf|大象|小象; hedgehog|hoglet|刺猬|小刺猬; spider|spiderling|蜘蛛|小蜘蛛
""")

# thing | its colour | thing | its colour
COLOURS = table("""
banana|yellow|香蕉|黄色; lemon|yellow|柠檬|黄色; sunflower|yellow|向日葵|黄色; canary|yellow|金丝雀|黄色
corn|yellow|玉米|黄色; egg yolk|yellow|蛋黄|黄色; straw|yellow|稻草|黄色; tomato|red|番茄|红色
cherry|red|樱桃|红色; strawberry|red|草莓|红色; blood|red|血|红色; poppy|red|罂粟花|红色; brick|red|砖头|红色
fire engine|red|消防车|红色; ladybird|red|瓢虫|红色; chili|red|辣椒|红色; ruby|red|红宝石|红色
grass|green|草|绿色; cucumber|green|黄瓜|绿色; spinach|green|菠菜|绿色; lettuce|green|生菜|绿色
emerald|green|祖母绿|绿色; lime|green|青柠|绿色; pea|green|豌豆|绿色; moss|green|苔藓|绿色; sky|blue|天空|蓝色
sea|blue|大海|蓝色; blueberry|blue|蓝莓|蓝色; sapphire|blue|蓝宝石|蓝色; cornflower|blue|矢车菊|蓝色
denim|blue|牛仔布|蓝色; snow|white|雪|白色; milk|white|牛奶|白色; salt|white|盐|白色; cotton|white|棉花|白色
sugar|white|糖|白色; chalk|white|粉笔|白色; polar bear|white|北极熊|白色; lily|white|百合花|白色
flour|white|面粉|白色; coal|black|煤|黑色; ink|black|墨水|黑色; tar|black|沥青|黑色; crow|black|乌鸦|黑色
panther|black|黑豹|黑色; tyre|black|轮胎|黑色; chocolate|brown|巧克力|棕色; coffee|brown|咖啡|棕色
chestnut|brown|栗子|棕色; bark|brown|树皮|棕色; soil|brown|泥土|棕色; walnut|brown|核桃|棕色
carrot|orange|胡萝卜|橙色; pumpkin|orange|南瓜|橙色; tangerine|orange|橘子|橙色; apricot|orange|杏子|橙色
eggplant|purple|茄子|紫色; lavender|purple|薰衣草|紫色; plum|purple|李子|紫色; violet|purple|紫罗兰|紫色
grape|purple|葡萄|紫色; flamingo|pink|火烈鸟|粉色; peach blossom|pink|桃花|粉色; piglet|pink|小猪|粉色
ash|grey|灰烬|灰色; cement|grey|水泥|灰色; dolphin|grey|海豚|灰色; rain cloud|grey|乌云|灰色
""")

# word | its opposite | word | its opposite
OPPOSITES = table("""
hot|cold|热|冷; big|small|大|小; long|short|长|短; high|low|高|低; fast|slow|快|慢; new|old|新|旧
good|bad|好|坏; rich|poor|富|穷; wet|dry|湿|干; hard|soft|硬|软; heavy|light|重|轻; full|empty|满|空
clean|dirty|干净|肮脏; open|closed|打开|关闭; early|late|早|晚; loud|quiet|吵闹|安静; strong|weak|强壮|虚弱
thick|thin|厚|薄; wide|narrow|宽|窄; deep|shallow|深|浅; near|far|近|远; day|night|白天|黑夜; left|right|左|右
up|down|上|下; front|back|前|后; inside|outside|里面|外面; true|false|真|假; happy|sad|快乐|悲伤
brave|afraid|勇敢|害怕; sweet|bitter|甜|苦; bright|dark|明亮|黑暗; easy|difficult|容易|困难
cheap|expensive|便宜|昂贵; first|last|最初|最后; always|never|总是|从不; begin|end|开始|结束; buy|sell|买|卖
give|take|给予|拿走; laugh|cry|笑|哭; love|hate|爱|恨; win|lose|赢|输; remember|forget|记住|忘记
push|pull|推|拉; arrive|leave|到达|离开; ask|answer|问|答; rise|fall|上升|下降; build|destroy|建造|毁坏
friend|enemy|朋友|敌人; war|peace|战争|和平; question|reply|问题|回答; summer|winter|夏天|冬天
north|south|北|南; east|west|东|西; more|less|多|少; safe|dangerous|安全|危险; sharp|blunt|锋利|迟钝
lazy|busy|懒惰|忙碌; polite|rude|礼貌|粗鲁; smooth|rough|光滑|粗糙; straight|crooked|直|弯; tight|loose|紧|松
asleep|awake|睡着|醒着; success|failure|成功|失败; alive|dead|活着|死去; increase|decrease|增加|减少
public|private|公开|私人; guest|host|客人|主人; raw|cooked|生|熟; simple|complex|简单|复杂
beautiful|ugly|美丽|丑陋
""")

# English | Chinese, one word each way
LEXICON = table("""
apple|苹果; pear|梨; watermelon|西瓜; pineapple|菠萝; bread|面包; rice|米饭; noodles|面条; dumpling|饺子
soup|汤; tea|茶; water|水; juice|果汁; beer|啤酒; meat|肉; fish|鱼; cheese|奶酪; honey|蜂蜜; butter|黄油; oil|油
vinegar|醋; garlic|大蒜; onion|洋葱; potato|土豆; mushroom|蘑菇; cabbage|白菜; table|桌子; chair|椅子; bed|床
door|门; window|窗户; roof|屋顶; wall|墙; floor|地板; kitchen|厨房; garden|花园; lamp|灯; candle|蜡烛
mirror|镜子; clock|钟; key|钥匙; knife|刀; spoon|勺子; fork|叉子; cup|杯子; bowl|碗; plate|盘子; bottle|瓶子
basket|篮子; box|盒子; bag|袋子; rope|绳子; needle|针; scissors|剪刀; hammer|锤子; umbrella|雨伞; hat|帽子
shoe|鞋子; shirt|衬衫; trousers|裤子; skirt|裙子; glove|手套; sock|袜子; coat|大衣; scarf|围巾; ring|戒指
head|头; face|脸; eye|眼睛; ear|耳朵; nose|鼻子; mouth|嘴; tooth|牙齿; tongue|舌头; hair|头发; neck|脖子
shoulder|肩膀; hand|手; finger|手指; foot|脚; knee|膝盖; heart|心脏; bone|骨头; stomach|胃; sun|太阳; moon|月亮
star|星星; wind|风; rain|雨; cloud|云; fog|雾; thunder|雷; lightning|闪电; river|河流; lake|湖泊; mountain|山
forest|森林; desert|沙漠; island|岛屿; beach|海滩; bridge|桥; road|路; village|村庄; city|城市; school|学校
hospital|医院; library|图书馆; museum|博物馆; market|市场; shop|商店; bank|银行; factory|工厂; station|车站
airport|机场; train|火车; car|汽车; bicycle|自行车; ship|轮船; plane|飞机; bus|公共汽车; book|书; newspaper|报纸
letter|信; pen|钢笔; pencil|铅笔; paper|纸; picture|图画; music|音乐; song|歌曲; dance|舞蹈; drum|鼓; piano|钢琴
violin|小提琴; guitar|吉他; father|父亲; mother|母亲; brother|兄弟; sister|姐妹; son|儿子; daughter|女儿
child|孩子; king|国王; queen|王后; teacher|老师; student|学生; doctor|医生; farmer|农民; soldier|士兵
morning|早晨; evening|傍晚; week|星期; month|月份; year|年; spring|春天; autumn|秋天; gold|金; silver|银
iron|铁; stone|石头; wood|木头; glass|玻璃; silk|丝绸; eat|吃; drink|喝; sleep|睡觉; walk|走路; run|跑
swim|游泳; fly|飞; read|阅读; write|写字; sing|唱歌; think|思考; dream|梦; wish|愿望; story|故事; game|游戏
gift|礼物; money|钱; work|工作; holiday|假期; birthday|生日; health|健康
""")

# The lives of invented people: jobs and pets in both languages, homes and names of each language.
JOBS = table("""
baker|面包师; nurse|护士; pilot|飞行员; painter|画家; cook|厨师; driver|司机; singer|歌手; dancer|舞蹈家
writer|作家; gardener|园丁; carpenter|木匠; tailor|裁缝; lawyer|律师; dentist|牙医; fisher|渔夫; miner|矿工
sailor|水手; potter|陶工; barber|理发师; librarian|图书管理员; plumber|水管工; journalist|记者; actor|演员
photographer|摄影师; translator|翻译; mechanic|修理工; guide|导游; vet|兽医; firefighter|消防员; judge|法官
""")
PETS = table("""
dog|狗; cat|猫; parrot|鹦鹉; rabbit|兔子; hamster|仓鼠; turtle|乌龟; goldfish|金鱼; canary|金丝雀; pony|小马
goat|山羊; duck|鸭子; pigeon|鸽子; hedgehog|刺猬; mouse|老鼠; snake|蛇; owl|猫头鹰; monkey|猴子; ferret|雪貂
frog|青蛙; lizard|蜥蜴
""")
TOWNS_EN = """Millbrook Greenhill Stonebridge Riverton Oakvale Fairhaven Redcliff Silverlake Windmere Thornfield
Bluewater Foxwood Elmstead Goldcrest Harborough Summerton Ravenwick Applegate Marshfield Kingsdale""".split()
TOWNS_ZH = """柳溪镇 青石镇 白云村 桃花村 龙泉镇 清水镇 红叶村 银湖镇 竹林村 梅岭镇 松江镇 金沙镇 月牙村 杏林镇
莲花村 石桥镇 枫林镇 鹿鸣村 海棠镇 云台镇""".split()
WOMEN_EN = """Anna Bella Clara Diana Emma Flora Grace Helen Irene Julia Karen Laura Maria Nora Olivia Paula Rosa
Sarah Tina Vera Wendy Zoe Alice Betty Cora Daisy Elsa Fiona Gina Hazel Ivy Jane""".split()
MEN_EN = """Adam Bruno Carl David Edgar Felix George Henry Ivan Jack Kevin Leo Martin Noah Oscar Peter Ralph
Simon Thomas Victor Walter Xavier Arthur Boris Conrad Dennis Ernest Frank Gilbert Hugo Igor Jonas""".split()
# People who speak to the model are not the people it has read about.
SPEAKERS_EN = """Abby Ben Cindy Dan Ellie Fred Gwen Harry Ida Jim Kate Liam Molly Ned Opal Pam Quinn Rick Sally Tom
Una Vince Will Yara Zack Amber Blake Chloe Dylan Eva Finn Gloria Hank Isla Joel Kira Luke Mona Nick
Otto Penny Ray Stella Todd Uma Vivian Wade Yvonne Anton Bridget Cole Doris Eric Freya Glenn Holly
Ian Jenny Kyle Lily""".split()
SURNAMES_ZH = "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙".split()
WOMEN_ZH = "芳 丽 娟 敏 静 燕 玲 梅 雪 兰 琴 慧 秀英 小红 美玲 婷婷".split()
MEN_ZH = "伟 强 军 勇 杰 涛 明 超 刚 平 辉 鹏 建国 小明 志强 大山".split()
SPEAKERS_ZH = """安安 贝贝 晨晨 朵朵 恩恩 芬芬 甘甘 浩浩 佳佳 可可 乐乐 苗苗 诺诺 鸥鸥 盼盼 琪琪 冉冉 思思 甜甜 薇薇
欣欣 阳阳 子涵 宇轩 梓萱 浩然 欣怡 雨桐 俊杰 诗涵 天佑 若曦 子墨 晓东 春生 冬梅 秋菊 夏荷 家豪 文博
思远 立新 海燕 云飞 宝玉 金花 铁柱 来福 石头 阿牛 阿珍 阿强 小虎 小龙 小凤 小芸 大勇 大宝 二妞 三毛""".split()
FOODS = table("""
pizza|披萨; cake|蛋糕; ice cream|冰淇淋; pancake|煎饼; sandwich|三明治; salad|沙拉; tofu|豆腐; jam|果酱
popcorn|爆米花; pudding|布丁; sausage|香肠; biscuit|饼干; yogurt|酸奶; omelette|蛋卷; porridge|粥; hot pot|火锅
bread|面包; rice|米饭; noodles|面条; soup|汤; cheese|奶酪; honey|蜂蜜; fish|鱼; meat|肉; chocolate|巧克力
corn|玉米; spinach|菠菜; pineapple|菠萝; watermelon|西瓜; garlic|大蒜; cabbage|白菜; pumpkin|南瓜
cucumber|黄瓜; tomato|番茄; banana|香蕉; cherry|樱桃; lemon|柠檬
""")
